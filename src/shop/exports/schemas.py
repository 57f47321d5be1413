"""What somebody takes away."""

from msgspec import Struct

from shop.audit.schemas import Event
from shop.identities.schemas import OwnIdentity
from shop.orders.schemas import Order
from shop.sessions.schemas import Session
from shop.users.schemas import User


class Export(Struct, frozen=True):
    """Lists are in the order of the routes that list them; of sessions, those that are open."""

    account: User
    identities: list[OwnIdentity]
    sessions: list[Session]
    orders: list[Order]
    security_events: list[Event]
