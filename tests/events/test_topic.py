"""Topics: the payloads and the partitions of their events."""

from typing import Any

import pytest
from msgspec import Struct, ValidationError

from restwell.events import Topic
from restwell.events._topic import MAX_PAYLOAD_BYTES


class Changed(Struct):
    name: str


changes = Topic("changes", Changed)


def test_a_payload_is_encoded_and_decoded() -> None:
    assert changes.encode(Changed("a\x00b")) == '{"name":"a\\u0000b"}'
    assert changes.decode('{"name":"a\\u0000b"}') == Changed("a\x00b")


def test_a_field_of_a_newer_release_is_ignored() -> None:
    """Fails if the type forbids unknown fields: the previous release would stop at the events of the next."""
    assert changes.decode('{"name":"a","colour":"red"}') == Changed("a")
    with pytest.raises(ValidationError, match="name"):
        changes.decode('{"colour":"red"}')


def test_what_consumers_could_not_read_is_refused() -> None:
    wrong: Any = {"name": 3}
    with pytest.raises(TypeError, match=r"topic changes: Expected `str`, got `int` - at `\$.name`"):
        changes.encode(wrong)
    with pytest.raises(TypeError, match="at most; store it"):
        changes.encode(Changed("x" * MAX_PAYLOAD_BYTES))


def test_the_partition_of_a_key_never_changes() -> None:
    """Fails with another number of partitions or another hash: events of a key would be in two partitions."""
    assert [Topic.partition_of(key) for key in ("a", "b", "product:1", "é")] == [3, 9, 11, 14]
