from restwell.accounts._core import MIGRATIONS
from restwell.accounts._mfa import queries
from restwell.accounts._mfa.jobs import send_mfa_disabled, send_mfa_enabled
from restwell.accounts._mfa.routes import MfaController
from restwell.accounts._mfa.service import MfaService
from restwell.accounts._mfa.verification import MfaVerification
from restwell.web import Feature


def mfa() -> Feature:
    return Feature(
        controllers=[MfaController],
        services=[MfaService, MfaVerification],
        jobs=[send_mfa_enabled, send_mfa_disabled],
        queries=[queries],
        migrations={"accounts_mfa": MIGRATIONS / "accounts_mfa"},
    )
