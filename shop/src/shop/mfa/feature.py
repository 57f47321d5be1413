from typing import Final

from restwell.web import Feature
from shop.mfa import queries
from shop.mfa.routes import MfaController
from shop.mfa.service import MfaService
from shop.mfa.verification import MfaVerification

mfa: Final = Feature(
    controllers=[MfaController],
    services=[MfaService, MfaVerification],
    queries=[queries],
)
