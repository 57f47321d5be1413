"""The application: its features, in two versions of the API."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

from restwell import App, Project, Restwell
from restwell.accounts import Accounts
from restwell.ops import Ops
from restwell.web import Feature, JobController, Lifecycle, Part, Version, requires_role
from shop import demo, load_data
from shop.access import SCOPES, Role, Scope
from shop.emails import ShopEmails
from shop.graphql import graphql
from shop.grpc import grpc, grpc_of_orders
from shop.images.feature import images
from shop.orders import v2 as orders_v2
from shop.orders.feature import orders
from shop.payments.feature import payments
from shop.products import v2 as products_v2
from shop.products.feature import products, products_of
from shop.reports.feature import reports
from shop.schema import Listing, metadata
from shop.settings import ShopSettings

MIGRATIONS: Final = Path(__file__).with_name("migrations")
DESCRIPTION: Final = """The restwell reference API: an e-commerce back end with accounts, products, orders and payments.

To authenticate, create a session with a demo account and paste the `access_token` into **Authorize**.

**From v1 to v2**: amounts are objects, such as `price: {amount, currency}` for `price_cents` and `currency`; a list is
`data` and `next`, the path of the next page; the items of an order have an `id`. Cursors, entity tags and idempotency
keys of one version are not valid in the other."""
CONTACT: Final = "api@shop.example"
END_OF_V1: Final = Lifecycle(deprecated=date(2026, 12, 1), sunset=date(2100, 1, 1), successor="/v2", guide="/docs")
"""Its end is far away because the tests must still pass then."""


class AdminJobController(JobController):
    guards = [requires_role(Role.ADMIN, or_scope=Scope.JOBS_MANAGE)]


accounts: Final = Accounts(roles=Role, scopes=SCOPES, events_scope=Scope.EVENTS_READ, emails=ShopEmails())


def create_app(settings: ShopSettings, *, replacements: Sequence[object] = ()) -> App:
    """Build the application. It opens no connection before startup.

    With CATALOGUE_URL it has no products, no GraphQL, which joins them with orders, and takes stock from that service.
    ``replacements``: services that replace those of the same type, such as fakes.
    """
    url = settings.catalogue.url
    catalogue: list[Part] = [products, images] if url is None else [products_of(url.get_secret_value())]
    protocols: list[Part] = [graphql, grpc] if url is None else [grpc_of_orders]
    parts: list[Part] = [accounts, *catalogue, orders, payments, reports, AdminJobController]
    versions = [
        Version("/v1", parts, lifecycle=END_OF_V1),
        Version(
            "/v2",
            parts,
            requests=products_v2.REQUESTS if url is None else (),
            responses=(*(products_v2.RESPONSES if url is None else ()), *orders_v2.RESPONSES),
            page=Listing,
        ),
    ]
    return Restwell(settings, name="shop").app(
        [Feature(services=replacements), Ops(accounts), *versions, *protocols],
        description=DESCRIPTION,
        contact=CONTACT,
        license_id="MIT",
        migrations=MIGRATIONS,
        metadata=metadata,
    )


shop: Final = Project(
    name="shop",
    settings=ShopSettings,
    create_app=create_app,
    seed=demo.seed,
    load_data=load_data.load,
    banner=demo.banner,
)
