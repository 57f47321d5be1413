"""What a client has to see of its own writes: its tokens, and the position that its reads require."""

import asyncio
import time

import pytest

from restwell._signing import SignedTokens
from restwell.database import _consistency as consistency
from restwell.database._consistency import (
    MAX_LSN,
    ConsistencyTokens,
    SessionConsistency,
    record_lsn,
    require_lsn,
    required_lsn,
)


def test_only_recent_tokens_with_a_valid_signature_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks when the signature is not checked: any client can then send all reads to the primary."""
    tokens = ConsistencyTokens(b"k" * 32)
    token = tokens.encode(123_456_789_012).encode()
    assert tokens.decode(token) == 123_456_789_012
    assert ConsistencyTokens(b"x" * 32).decode(token) == 0
    forged = SignedTokens(b"x" * 32).encode("consistency", (MAX_LSN, int(time.time()))).encode()
    for bad in (b"", b"none", b"\xff", token[:-2], b"A" * 10_000, forged):
        assert tokens.decode(bad) == 0
    monkeypatch.setattr(consistency, "TOKEN_SECONDS", -1)
    assert tokens.decode(token) == 0


async def test_the_writes_of_a_request_advance_what_its_own_reads_require_and_no_others() -> None:
    """Breaks with one position per process: the reads of one client would wait for the writes of all."""

    async def request(lsn: int) -> int | None:
        require_lsn(SessionConsistency(100))
        await asyncio.sleep(0)
        record_lsn(lsn)
        await asyncio.sleep(0)
        return await asyncio.create_task(in_a_task_of_its_own())

    async def in_a_task_of_its_own() -> int | None:
        return required_lsn()

    assert [*await asyncio.gather(request(200), request(300), request(50))] == [200, 300, 100]
    assert required_lsn() is None, "without a request, only the primary will do"
    record_lsn(200)
    assert required_lsn() is None


def test_a_token_outlives_the_lag_of_every_replica_in_use() -> None:
    assert consistency.TOKEN_SECONDS > consistency.MAX_LAG_SECONDS
