"""All named queries of the shop, for ``restwell explain`` and the query plan tests."""

from collections.abc import Iterator
from typing import Any

from restwell.database import Query, find_queries
from shop.audit import queries as audit
from shop.clients import queries as clients
from shop.email_verifications import queries as email_verifications
from shop.identities import queries as identities
from shop.images import queries as images
from shop.login_throttle import queries as login_throttle
from shop.mfa import queries as mfa
from shop.orders import queries as orders
from shop.password_resets import queries as password_resets
from shop.payments import queries as payments
from shop.products import queries as products
from shop.reports import queries as reports
from shop.sessions import queries as sessions
from shop.users import queries as users


def named_queries() -> Iterator[Query[Any]]:
    """Yield the queries of each feature, and the product list in every combination of filters and sort order."""
    return find_queries(
        users,
        sessions,
        login_throttle,
        audit,
        password_resets,
        email_verifications,
        identities,
        mfa,
        clients,
        products,
        products.every_page,
        images,
        orders,
        payments,
        reports,
    )
