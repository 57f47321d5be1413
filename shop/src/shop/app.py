"""The composition root: builds each service once and injects its dependencies."""

from pathlib import Path
from typing import Final

from restwell import App, Project, Restwell
from shop import api, demo, load_data
from shop.audit.service import AuditLog
from shop.authentication import Authentication
from shop.cleanup import Cleanup, clean_up
from shop.clients.service import ClientService
from shop.email_verifications.jobs import send_email_changed, send_verification_code, send_welcome
from shop.email_verifications.mail import VerificationMail
from shop.email_verifications.service import EmailVerificationService
from shop.exports.service import ExportService
from shop.identities.service import IdentityService
from shop.images.jobs import make_thumbnails
from shop.images.service import ImageService
from shop.images.thumbnails import ThumbnailBuilder
from shop.login_throttle.service import LoginThrottle
from shop.mfa.service import MfaService
from shop.mfa.verification import MfaVerification
from shop.named_queries import named_queries
from shop.orders.jobs import send_confirmation, send_payment_failed
from shop.orders.mail import OrderMail
from shop.orders.service import OrderService
from shop.orders.settlement import Settlement, settle_order, settle_overdue_orders
from shop.password_resets.jobs import send_reset_code
from shop.password_resets.mail import PasswordResetMail
from shop.password_resets.service import PasswordResetService
from shop.payments.events import PaymentEvents
from shop.payments.open import open_gateway
from shop.payments.service import PaymentService
from shop.products.service import ProductService
from shop.products.stock import StockService
from shop.reports.builder import ReportBuilder
from shop.reports.jobs import build_report
from shop.reports.service import ReportService
from shop.sessions.service import SessionService
from shop.settings import ShopSettings
from shop.users.jobs import send_identity_linked, send_mfa_changed, send_password_changed
from shop.users.mail import AccountMail
from shop.users.reauthentication import Reauthentication
from shop.users.service import UserService

MIGRATIONS: Final = Path(__file__).with_name("migrations")
DESCRIPTION: Final = """The restwell reference API: an e-commerce back end with accounts, products, orders and payments.

To authenticate, call `POST /v1/sessions` with a demo account and paste the `access_token` into **Authorize**."""


def create_app(settings: ShopSettings) -> App:
    """Build the application. It opens no connection before startup."""
    kit = Restwell(settings, name="shop")
    audit = AuditLog(kit.database, kit.cursors)
    throttle = LoginThrottle(kit.database)
    reauthentication = Reauthentication(kit.database, kit.passwords, throttle)
    users = UserService(kit.database, kit.cache, kit.jobs, kit.passwords, kit.cursors, reauthentication, audit)
    mfa_verification = MfaVerification(kit.secret_box, throttle, audit)
    mfa = MfaService(kit.database, kit.secret_box, reauthentication, mfa_verification, users, audit, issuer=kit.name)
    sessions = SessionService(
        kit.database,
        kit.cache,
        kit.passwords,
        kit.access_tokens,
        kit.refresh_tokens,
        users,
        mfa_verification,
        throttle,
        audit,
        lifetime_seconds=settings.jwt.refresh_ttl_seconds,
        idle_seconds=settings.jwt.idle_ttl_seconds,
    )
    identities = IdentityService(
        kit.database, kit.oauth_providers, kit.oauth_flows, sessions, users, audit, public_url=settings.public_url
    )
    email_verifications = EmailVerificationService(kit.database, kit.jobs, reauthentication, users)
    resets = PasswordResetService(kit.database, kit.jobs, kit.passwords, users, identities, mfa, audit)
    users.hooks.on_registered.append(email_verifications.send_welcome_in)
    users.hooks.on_email_changed.extend([email_verifications.revoke_codes_in, resets.revoke_codes_in])
    users.hooks.on_password_changed.append(email_verifications.revoke_codes_in)
    users.hooks.on_sessions_revoked.append(sessions.revoke_all_in)
    users.hooks.on_deleted.extend([identities.delete_in, mfa.delete_in, email_verifications.revoke_codes_in])
    clients = ClientService(kit.database, kit.cache, kit.access_tokens, kit.cursors, audit)
    products = ProductService(kit.database, kit.cache, kit.cursors)
    payments = PaymentService(
        kit.database, kit.close_on_shutdown(open_gateway(settings.payments.url.get_secret_value()))
    )
    stock = StockService(kit.cache)
    orders = OrderService(kit.database, kit.cache, kit.jobs, kit.cursors, stock, payments)
    settlement = Settlement(kit.database, kit.cache, kit.jobs, stock, payments)
    secret = settings.payments.webhook_secret
    events = PaymentEvents(kit.database, secret.get_secret_value() if secret is not None else None, settlement.enqueue)
    exports = ExportService(
        kit.database,
        audit,
        values={
            "account": lambda owner: users.get_user(owner.id),
            "identities": identities.list_identities,
            "sessions": sessions.list_sessions,
        },
        lists={"orders": orders.list_orders, "security_events": audit.list_own_events},
    )
    images = ImageService(kit.database, kit.jobs, kit.files, products)
    reports = ReportService(kit.database, kit.jobs, kit.files)
    builders = [ThumbnailBuilder(kit.database, kit.files), ReportBuilder(kit.database, kit.files, orders)]
    cleanup = Cleanup(
        kit.database,
        kit.files,
        delete_expired=[
            sessions.delete_expired,
            throttle.delete_expired,
            resets.delete_expired,
            email_verifications.delete_expired,
            audit.delete_expired,
            events.delete_expired,
            reports.delete_expired,
        ],
        folders={"images": images.find_existing, "reports": reports.find_existing},
    )
    mails = [
        AccountMail(kit.database, kit.mailer),
        VerificationMail(kit.database, kit.mailer, users),
        PasswordResetMail(kit.database, kit.mailer, users),
        OrderMail(kit.database, kit.mailer, users),
    ]
    return kit.app(
        version="1.0.0",
        description=DESCRIPTION,
        versions=api.VERSIONS,
        provide=[
            *(users, sessions, mfa, identities, exports, clients, audit, email_verifications, resets),
            *(products, images, orders, settlement, events, reports),
            *(cleanup, *mails, *builders),
        ],
        jobs=[
            send_welcome,
            send_password_changed,
            send_verification_code,
            send_email_changed,
            send_identity_linked,
            send_mfa_changed,
            send_confirmation,
            send_payment_failed,
            settle_order,
            settle_overdue_orders,
            send_reset_code,
            make_thumbnails,
            build_report,
            clean_up,
        ],
        authenticate=Authentication(kit.access_tokens, sessions, clients),
        migrations=MIGRATIONS,
        client_credentials=api.CLIENT_CREDENTIALS,
        session_cookies=True,
    )


shop: Final = Project(
    name="shop",
    settings=ShopSettings,
    create_app=create_app,
    seed=demo.seed,
    load_data=load_data.load,
    banner=demo.banner,
    queries=named_queries,
)
