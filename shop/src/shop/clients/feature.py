from typing import Final

from restwell.web import Feature
from shop.clients import queries
from shop.clients.routes import ClientController, TokenController
from shop.clients.service import ClientService

clients: Final = Feature(
    controllers=[ClientController, TokenController],
    services=[ClientService],
    queries=[queries],
)
