"""The application: its features, in one version of the API."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from restwell import App, Project, Restwell
from restwell.web import ClientCredentials, Feature, JobController, Version, requires_role
from shop import demo, load_data
from shop.access import SCOPES, Scope
from shop.audit.feature import audit
from shop.authentication import Authentication
from shop.clients.feature import clients
from shop.email_verifications.feature import email_verifications
from shop.exports.feature import exports
from shop.identities.feature import identities
from shop.images.feature import images
from shop.login_throttle.feature import login_throttle
from shop.mfa.feature import mfa
from shop.orders.feature import orders
from shop.password_resets.feature import password_resets
from shop.payments.feature import payments
from shop.products.feature import products
from shop.reports.feature import reports
from shop.sessions.feature import sessions
from shop.settings import ShopSettings
from shop.users.feature import users

MIGRATIONS: Final = Path(__file__).with_name("migrations")
DESCRIPTION: Final = """The restwell reference API: an e-commerce back end with accounts, products, orders and payments.

To authenticate, call `POST /v1/sessions` with a demo account and paste the `access_token` into **Authorize**."""


class AdminJobController(JobController):
    guards = [requires_role("admin", or_scope=Scope.JOBS_MANAGE)]


sign_in: Final = (sessions, identities, mfa, login_throttle)
accounts: Final = (users, *sign_in, exports, password_resets, email_verifications, audit)
store: Final = (products, images, orders, payments, reports)
operations: Final = (clients, AdminJobController)


def create_app(settings: ShopSettings, *, replacements: Sequence[object] = ()) -> App:
    """Build the application. It opens no connection before startup.

    ``replacements``: services that replace those of the same type, such as fakes.
    """
    return Restwell(settings, name="shop").app(
        [Feature(services=replacements), Version("/v1", [*accounts, *store, *operations])],
        description=DESCRIPTION,
        authenticate=Authentication,
        session_cookies=True,
        migrations=MIGRATIONS,
        client_credentials=ClientCredentials("/v1/oauth/token", SCOPES),
    )


shop: Final = Project(
    name="shop",
    settings=ShopSettings,
    create_app=create_app,
    seed=demo.seed,
    load_data=load_data.load,
    banner=demo.banner,
)
