"""The application: its features, in one version of the API."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from restwell import App, Project, Restwell
from restwell.accounts import Accounts
from restwell.web import Feature, JobController, Version, requires_role
from shop import demo, load_data
from shop.access import SCOPES, Role, Scope
from shop.emails import ShopEmails
from shop.images.feature import images
from shop.orders.feature import orders
from shop.payments.feature import payments
from shop.products.feature import products
from shop.reports.feature import reports
from shop.settings import ShopSettings

MIGRATIONS: Final = Path(__file__).with_name("migrations")
DESCRIPTION: Final = """The restwell reference API: an e-commerce back end with accounts, products, orders and payments.

To authenticate, call `POST /v1/sessions` with a demo account and paste the `access_token` into **Authorize**."""


class AdminJobController(JobController):
    guards = [requires_role(Role.ADMIN, or_scope=Scope.JOBS_MANAGE)]


accounts: Final = Accounts(roles=Role, scopes=SCOPES, events_scope=Scope.EVENTS_READ, emails=ShopEmails())


def create_app(settings: ShopSettings, *, replacements: Sequence[object] = ()) -> App:
    """Build the application. It opens no connection before startup.

    ``replacements``: services that replace those of the same type, such as fakes.
    """
    version = Version("/v1", [accounts, products, images, orders, payments, reports, AdminJobController])
    return Restwell(settings, name="shop").app(
        [Feature(services=replacements), version], description=DESCRIPTION, migrations=MIGRATIONS
    )


shop: Final = Project(
    name="shop",
    settings=ShopSettings,
    create_app=create_app,
    seed=demo.seed,
    load_data=load_data.load,
    banner=demo.banner,
)
