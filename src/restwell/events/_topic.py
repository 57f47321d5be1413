"""Topics: what kind of events there are."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, TypeVar
from zlib import crc32

import msgspec
from msgspec import Struct

from restwell.events._queries import PARTITIONS

T = TypeVar("T")

MAX_PAYLOAD_BYTES: Final = 65_536
RETENTION_SECONDS: Final = 7 * 86_400.0


@dataclass(frozen=True)
class Topic(Generic[T]):
    """A stream of events, with its name in the database and the type of its payloads.

    Each consumer sees the events of one key in the order of their commits. Events are deleted after
    ``retention_seconds``, whether or not they were applied.
    """

    name: str
    payload: type[T]
    retention_seconds: float = RETENTION_SECONDS

    def encode(self, payload: T) -> str:
        """Encode as JSON. Raises TypeError for what consumers could not read, and above MAX_PAYLOAD_BYTES."""
        encoded = msgspec.json.encode(payload)
        try:
            msgspec.json.decode(encoded, type=self.payload)
        except msgspec.ValidationError as error:
            raise TypeError(f"topic {self.name}: {error}") from None
        if len(encoded) > MAX_PAYLOAD_BYTES:
            raise TypeError(
                f"topic {self.name}: {len(encoded):,} bytes of payload, {MAX_PAYLOAD_BYTES:,} at most; store it and"
                " append its id"
            )
        return encoded.decode()

    def decode(self, stored: str) -> T:
        """Decode a payload. Fields that this release does not know are ignored. Raises msgspec.ValidationError."""
        return msgspec.json.decode(stored, type=self.payload)

    @staticmethod
    def partition_of(key: str) -> int:
        return crc32(key.encode()) % PARTITIONS


class Event(Struct, Generic[T], frozen=True):
    """An event, as a consumer gets it. ``id`` is the same in every attempt, and no other event has it."""

    id: str
    key: str
    appended_at: datetime
    payload: T
