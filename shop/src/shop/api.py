"""The route table: the controllers of each API version."""

from typing import Final

from restwell.web import ClientCredentials, JobController, Version, requires_role
from shop.access import SCOPES, Scope
from shop.audit.routes import AuditController
from shop.clients.routes import ClientController, TokenController
from shop.email_verifications.routes import EmailVerificationController
from shop.exports.routes import ExportController
from shop.identities.routes import IdentityController, OAuthSignInController
from shop.images.routes import ImageController
from shop.mfa.routes import MfaController
from shop.orders.routes import OrderController
from shop.password_resets.routes import PasswordResetController
from shop.payments.routes import PaymentController
from shop.products.routes import ProductController
from shop.reports.routes import ReportController
from shop.sessions.routes import SessionController
from shop.users.routes import UserController


class AdminJobController(JobController):
    guards = [requires_role("admin", or_scope=Scope.JOBS_MANAGE)]


V1: Final = (
    UserController,
    SessionController,
    OAuthSignInController,
    IdentityController,
    MfaController,
    ExportController,
    PasswordResetController,
    EmailVerificationController,
    AuditController,
    ProductController,
    ImageController,
    OrderController,
    PaymentController,
    ReportController,
    ClientController,
    TokenController,
    AdminJobController,
)

CLIENT_CREDENTIALS: Final = ClientCredentials("/v1/oauth/token", SCOPES)
VERSIONS: Final = (Version("/v1", V1),)
