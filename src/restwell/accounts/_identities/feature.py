from restwell.accounts._core import MIGRATIONS
from restwell.accounts._identities import queries
from restwell.accounts._identities.jobs import send_identity_linked
from restwell.accounts._identities.routes import IdentityController, OAuthSignInController
from restwell.accounts._identities.service import IdentityService
from restwell.web import Feature


def identities() -> Feature:
    return Feature(
        controllers=[OAuthSignInController, IdentityController],
        services=[IdentityService],
        jobs=[send_identity_linked],
        queries=[queries],
        migrations={"accounts_identities": MIGRATIONS / "accounts_identities"},
    )
