from typing import Final

from restwell.web import Feature
from shop.sessions import credentials, login_throttle, queries
from shop.sessions.reauthentication import Reauthentication
from shop.sessions.routes import SessionController
from shop.sessions.service import SessionService

sessions: Final = Feature(
    controllers=[SessionController],
    services=[SessionService, Reauthentication],
    queries=[queries, credentials, login_throttle],
)
