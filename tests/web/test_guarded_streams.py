"""Streams whose guards run again. The tests of GraphQL and of gRPC open them in an application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from restwell.errors import Conflict, Unauthorized
from restwell.web._guarded_streams import OpenStreams, StreamsExhausted, guarded

REQUEST: Any = None  # of guards that do not read it


class Source:
    """Yields ``items``, then waits for ever. ``closed``: whether it was closed."""

    def __init__(self, *items: int | Exception) -> None:
        self.items = items
        self.closed = False

    async def read(self) -> AsyncIterator[int]:
        try:
            for item in self.items:
                if isinstance(item, Exception):
                    raise item
                yield item
            await asyncio.Event().wait()
        finally:
            self.closed = True


async def test_the_guards_run_before_each_item_and_in_between() -> None:
    """Fails if a guard runs once, or not while the source waits, or if the source is left open."""
    source, checks = Source(1, 2), 0

    async def guard(_request: object) -> None:
        nonlocal checks
        checks += 1

    async with aclosing(guarded(source.read(), REQUEST, [guard], 0.001)) as stream:
        assert [await anext(stream) for _ in range(4)] == [(1,), (2,), (), ()]
    assert (checks, source.closed) == (4, True)


@pytest.mark.parametrize("items", [(1,), (ValueError("of the source"),), ()])
async def test_a_guard_that_refuses_ends_the_stream(items: tuple[Any, ...]) -> None:
    """Fails if an item or an error of the source goes out to a caller without rights."""
    source = Source(*items)

    async def guard(_request: object) -> None:
        raise Unauthorized

    with pytest.raises(Unauthorized):
        await anext(guarded(source.read(), REQUEST, [guard], 0.001))
    assert source.closed


async def test_the_end_and_an_error_of_the_source_are_those_of_the_stream() -> None:
    async def two() -> AsyncIterator[int]:
        yield 1
        yield 2

    assert [items async for items in guarded(two(), REQUEST, [], 60)] == [(1,), (2,)]
    with pytest.raises(ValueError, match="broken"):
        await anext(guarded(Source(ValueError("broken")).read(), REQUEST, [], 60))


def test_places_are_counted_by_client_and_in_all() -> None:
    """Fails if a place is not free again after an error, or if a refused stream counts."""
    streams = OpenStreams(of_process=2, of_client=1, refusal=Conflict)
    with streams.place("a"):
        with pytest.raises(Conflict), streams.place("a"):
            pass
        with pytest.raises(ZeroDivisionError), streams.place("b"):
            raise ZeroDivisionError
        with streams.place("b"), pytest.raises(StreamsExhausted), streams.place("c"):
            pass
        assert streams.count == 1
    assert streams.count == 0
