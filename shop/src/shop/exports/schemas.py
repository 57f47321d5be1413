from msgspec import Struct

from shop.audit.schemas import SecurityEvent
from shop.identities.schemas import LinkedIdentity
from shop.orders.schemas import Order
from shop.sessions.schemas import Session
from shop.users.schemas import User


class PersonalDataExport(Struct, frozen=True):
    """Each list has the order of the route that lists the resource. Only active sessions are included."""

    account: User
    identities: list[LinkedIdentity]
    sessions: list[Session]
    orders: list[Order]
    security_events: list[SecurityEvent]
