"""Who may call what: the roles of users and the scopes of OAuth clients and API keys."""

from enum import StrEnum
from typing import Final


class Role(StrEnum):
    CUSTOMER = "customer"
    ADMIN = "admin"


class Scope(StrEnum):
    """Scopes of OAuth clients and API keys. A key never has more rights than its user."""

    ORDERS_READ = "orders:read"
    PRODUCTS_WRITE = "products:write"
    JOBS_MANAGE = "jobs:manage"
    EVENTS_READ = "events:read"
    STOCK_RESERVE = "stock:reserve"


SCOPES: Final[dict[str, str]] = {
    Scope.ORDERS_READ: "Read the orders of all users.",
    Scope.PRODUCTS_WRITE: "Create, update and delete products and their images.",
    Scope.JOBS_MANAGE: "Read, retry, cancel and discard jobs.",
    Scope.EVENTS_READ: "Read the security events of all users.",
    Scope.STOCK_RESERVE: "Reserve the stock of orders, as a service of its own does.",
}
