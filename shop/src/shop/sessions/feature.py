from typing import Final

from restwell.web import Feature
from shop.sessions import queries
from shop.sessions.routes import SessionController
from shop.sessions.service import SessionService

sessions: Final = Feature(
    controllers=[SessionController],
    services=[SessionService],
    queries=[queries],
)
