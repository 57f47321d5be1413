"""Fuzzed OAuth callbacks: never a 5xx, and no session is opened."""

from collections.abc import Sequence
from urllib.parse import quote

import pytest
from hypothesis import strategies as st

from fuzzing import MARK, InProcess, Response, fuzz
from mutations import damaged
from restwell.web import ACCESS_COOKIE, OAUTH_STATE_COOKIE
from scoreboard import Score


@pytest.mark.scoreboard("T1", "any OAuth callback", MARK, backend="SQLite")
def test_no_forged_oauth_callback_opens_a_session(server: InProcess, score: Score) -> None:
    flow = server.app.kit.oauth_flows.start("okta", return_to="/account#x")

    def come_back(given: tuple[str, bytes, Sequence[tuple[str, str]]]) -> Response:
        provider, cookie, parameters = given
        query = "&".join(f"{name}={quote(value)}" for name, value in parameters)
        response = server.send(
            "GET",
            f"/v1/identities/{provider}/callback?{query}",
            [(b"cookie", OAUTH_STATE_COOKIE.encode() + b"=" + cookie)],
        )
        assert response.status >= 300
        assert ACCESS_COOKIE.encode() not in response.headers.get(b"set-cookie", b"")
        if response.status == 303:
            location = response.headers[b"location"].decode()
            assert location.startswith("/account?error=")
            assert location.endswith("#x")
        return response

    parameters = st.lists(
        st.tuples(
            st.sampled_from(["state", "code", "iss", "error"]),
            st.just(flow.state) | st.text(st.characters(codec="utf-8")) | st.just("a" * 3_000),
        ),
        max_size=5,
    )
    right = parameters.map(lambda more: [("state", flow.state), *more])
    cookies = st.just(flow.cookie.encode()) | damaged(flow.cookie.encode())
    fuzz(score, st.tuples(st.sampled_from(["okta", "unknown"]), cookies, parameters | right), come_back)
