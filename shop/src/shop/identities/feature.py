from typing import Final

from restwell.web import Feature
from shop.identities import queries
from shop.identities.routes import IdentityController, OAuthSignInController
from shop.identities.service import IdentityService

identities: Final = Feature(
    controllers=[OAuthSignInController, IdentityController],
    services=[IdentityService],
    queries=[queries],
)
