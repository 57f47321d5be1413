"""Repeated reads as a stream of changes."""

from restwell.polling import poll_changes


async def test_a_value_is_sent_when_it_has_changed() -> None:
    """Fails if an unchanged value is sent again, or if a read follows the last value."""
    values = iter([1, 1, 2, 2, 1, 3])

    async def read() -> int:
        return next(values)

    changes = poll_changes(read, until=lambda value: value == 3, seconds=0.001)
    assert [each async for each in changes] == [1, 2, 1, 3]
