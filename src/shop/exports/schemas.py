"""What somebody takes away."""

from msgspec import Struct

from shop.audit.schemas import SecurityEvent
from shop.identities.schemas import LinkedIdentity
from shop.orders.schemas import Order
from shop.sessions.schemas import Session
from shop.users.schemas import User


class PersonalDataExport(Struct, frozen=True):
    """Lists are in the order of the routes that list them; of sessions, those that are open."""

    account: User
    identities: list[LinkedIdentity]
    sessions: list[Session]
    orders: list[Order]
    security_events: list[SecurityEvent]
