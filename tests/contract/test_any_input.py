"""Any bytes at all, at each boundary of the request: an answer or a problem, never a 5xx, and no block of the event loop.

Breaks when an exception of a library's own leaves a parser: of JSON, of addresses, of cookies, of forms.
"""

import json
from typing import Any

import pytest
from hypothesis import strategies as st

from fuzzing import MARK, InProcess, Reply, fuzz
from scoreboard import Score

JSON = (b"content-type", b"application/json")
ROUTES = ["/v1/users", "/v1/sessions", "/v1/sessions/refresh", "/v1/password-resets/completion"]
FIELDS = ["email", "password", "name", "refresh_token", "cookies", "code", "new_password"]

numbers = st.integers() | st.floats() | st.integers(1, 6_000).map(lambda digits: 10**digits)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(FIELDS) | st.text(), inner),
    max_leaves=20,
)


def written(value: object) -> bytes:
    """As JSON, which may hold what JSON does not: NaN, halves of a character."""
    try:
        return json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")
    except ValueError:  # Python itself refuses to write an integer of so many digits
        return b'{"email": 1%s}' % (b"0" * 6_000)


bodies = (
    values.map(written)
    | st.dictionaries(st.sampled_from(FIELDS), values).map(written)
    | st.binary()
    | st.lists(st.sampled_from([b"{", b"[", b'"', b":", b",", b"}", b"]", b"\\u0000", b"1e999", b"\xff", b"null"])).map(
        b"".join
    )
)


@pytest.mark.scoreboard("T1", "any JSON body", MARK, backend="SQLite")
def test_any_body(server: InProcess, score: Score) -> None:
    def send(given: tuple[str, bytes]) -> Reply:
        return server.send("POST", given[0], [JSON], given[1])

    fuzz(score, st.tuples(st.sampled_from(ROUTES), bodies), send)
