"""The OAuth state binds a sign-in to the browser that started it."""

import hmac
import time
from base64 import urlsafe_b64encode
from types import SimpleNamespace
from urllib.parse import parse_qs, urljoin, urlsplit
from uuid import uuid4

import pytest
from hypothesis import strategies as st
from msgspec.structs import replace

from fuzzing import MARK, fuzz
from restwell._signing import SignedTokens
from restwell.auth.oauth import FLOW_TTL_SECONDS, AuthorizationFlow, AuthorizationFlows, InvalidSignIn
from scoreboard import Score

ORIGIN = "https://shop.example"


def test_state_and_nonce_do_not_reveal_the_verifier() -> None:
    """Breaks when state, nonce and verifier are equal: the state is in the URL, and PKCE would prove nothing."""
    flow = AuthorizationFlows(b"key").start("okta")
    assert len({flow.state, flow.nonce, flow.verifier, flow.challenge, flow.cookie}) == 5
    assert len(flow.verifier) == 43  # RFC 7636 4.1: 43 to 128 characters


def test_a_flow_is_resumed_only_with_its_own_key_cookie_and_state() -> None:
    """Breaks when the state is not compared: any response of the provider would match any cookie."""
    flow = AuthorizationFlows(b"key").start("okta", return_to="/account")
    assert AuthorizationFlows(b"key").resume(flow.cookie, "okta", flow.state) == flow
    assert AuthorizationFlows(b"other key").start("okta") != flow
    for cookie in ("", "x", "\u00e9", flow.cookie[:-1], flow.cookie + "AA"):
        assert _refused(cookie, flow)


def test_a_response_of_another_flow_provider_or_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9700 2.1, 4.4. Breaks without the comparison of the provider or the time: a stolen response stays valid."""
    flows = AuthorizationFlows(b"key")
    mine, attacker = flows.start("okta"), flows.start("okta")
    for cookie, provider, state in (
        (mine.cookie, "okta", attacker.state),
        (attacker.cookie, "okta", mine.state),
        (mine.cookie, "github", mine.state),
        (mine.cookie, "okta", ""),
        (mine.cookie, "okta", mine.nonce),
        (mine.cookie, "okta", mine.verifier),
        (mine.cookie, "okta", f"{mine.state}="),
        (mine.cookie, "okta", "\ud800"),
    ):
        with pytest.raises(InvalidSignIn):
            flows.resume(cookie, provider, state)
    started = int(time.time())
    for seconds, accepted in ((FLOW_TTL_SECONDS - 2, True), (FLOW_TTL_SECONDS + 1, False), (-5, False)):
        monkeypatch.setattr("restwell.auth.oauth._state.time", SimpleNamespace(time=lambda s=seconds: started + s))
        if accepted:
            assert flows.resume(mine.cookie, "okta", mine.state) == mine
        else:
            with pytest.raises(InvalidSignIn):
                flows.resume(mine.cookie, "okta", mine.state)


def test_no_character_of_a_cookie_can_be_changed() -> None:
    """Breaks when the cookie is not signed: the browser chooses the account that an identity is linked to."""
    user = uuid4()
    flow = AuthorizationFlows(b"key").start("okta", return_to="/account", user_id=user)
    assert AuthorizationFlows(b"key").resume(flow.cookie, "okta", flow.state).user_id == user
    changed = [
        f"{flow.cookie[:at]}{'A' if flow.cookie[at] != 'A' else 'B'}{flow.cookie[at + 1 :]}"
        for at in range(len(flow.cookie))
    ]
    assert all(_refused(cookie, flow) for cookie in changed)
    assert {AuthorizationFlows(b"key").start("okta").state for _ in range(50)} & {flow.state} == set()


def test_a_token_that_the_key_signed_for_another_purpose_is_no_cookie() -> None:
    """Breaks without the scope of the codec: a cursor, say, could be sent as a cookie."""
    content = ["okta", int(time.time()), b"r" * 32, None, None]
    for scope, accepted in (("sign-in", True), ("cursor", False)):
        cookie = SignedTokens(b"key").encode(scope, content)
        state = hmac.digest(b"key", f"state:{cookie}".encode(), "sha256")
        flow = AuthorizationFlows(b"key").start("okta")
        assert _refused(cookie, replace(flow, state=urlsafe_b64encode(state).rstrip(b"=").decode())) is not accepted


def _refused(cookie: str, flow: AuthorizationFlow) -> bool:
    try:
        AuthorizationFlows(b"key").resume(cookie, "okta", flow.state)
    except Exception as error:  # noqa: BLE001  # only the type is checked
        return type(error).__name__ == "InvalidSignIn"
    return False


@pytest.mark.parametrize(
    ("return_to", "with_error"),
    [
        ("/", "/?error=e"),
        ("/account", "/account?error=e"),
        ("/account?tab=1", "/account?tab=1&error=e"),
        ("/account?", "/account?error=e"),
        ("/#a", "/?error=e#a"),
        ("/#a?b", "/?error=e#a?b"),
        ("/a/b//c;d=1?x=/?y#e/f?g", "/a/b//c;d=1?x=/?y&error=e#e/f?g"),
        ("/caf%C3%A9?q=%0A%2F%5C#%20", "/caf%C3%A9?q=%0A%2F%5C&error=e#%20"),
        ("/a:b@c", "/a:b@c?error=e"),
    ],
)
def test_an_error_is_added_to_the_query_of_return_to(return_to: str, with_error: str) -> None:
    """Seen to fail: for `/#a` the error was added to the fragment."""
    flow = AuthorizationFlows(b"key").start("okta", return_to=return_to)
    assert (flow.location(), flow.location("e")) == (return_to, with_error)
    assert AuthorizationFlows(b"key").start("okta").location("e") is None


NOT_SAME_ORIGIN = [
    "", "a", "//evil.example", "///evil.example", "/\\evil.example", "\\/evil.example", "https://evil.example",
    "https:/evil.example",
    "javascript:alert(1)", "/\t/evil.example", "\t//evil.example", "/%09/evil.example", "/%0d%0aset-cookie:a=b",
    "/a\r\nb: c", "/a\n", "/\x00",
    "/%00", "/\x7f", "/%2F/evil.example", "/%2f%2fevil.example", "/%5Cevil.example", "/%5c", "/%", "/%4", "/%zz",
    "/a b", '/a"b', "/<a>",
    "/é", "/日本", "/\ud800", "/?é", "/#é", "/a#b#c", "/[a]", "?a", "#a", " /a", "/" + "a" * 500,
]  # fmt: skip


@pytest.mark.parametrize("return_to", NOT_SAME_ORIGIN)
def test_a_return_to_outside_our_origin_is_refused_at_begin_and_resume(return_to: str) -> None:
    """Seen to fail: a return_to with characters outside Latin-1 caused a 500 after the sign-in.

    A cookie may be of the previous release.
    """
    with pytest.raises(ValueError, match="return_to"):
        AuthorizationFlows(b"key").start("okta", return_to=return_to)
    if "\ud800" in return_to:
        return
    cookie = SignedTokens(b"key").encode("sign-in", ["okta", int(time.time()), b"r" * 32, return_to, None])
    state = hmac.digest(b"key", f"state:{cookie}".encode(), "sha256")
    with pytest.raises(InvalidSignIn):
        AuthorizationFlows(b"key").resume(cookie, "okta", urlsafe_b64encode(state).rstrip(b"=").decode())


@pytest.mark.scoreboard("T1", "any return_to of an OAuth sign-in", MARK, backend="none")
def test_every_return_to_stays_on_our_origin_or_is_refused(score: Score) -> None:
    pieces = st.sampled_from(
        [
            "/",
            "\\",
            "%2f",
            "%5C",
            "%09",
            "%41",
            ":",
            "@",
            "?",
            "#",
            "a",
            ".",
            "..",
            "evil.example",
            "\t",
            "\n",
            "é",
            "&",
            "=",
        ]
    )

    def begin(return_to: str) -> str:
        try:
            flow = AuthorizationFlows(b"key").start("okta", return_to=return_to)
        except ValueError:
            return "refused"
        for location in (flow.location(), flow.location("e")):
            assert location is not None
            assert location.isascii()
            assert location.isprintable()
            assert urljoin(ORIGIN, location).startswith(f"{ORIGIN}/")
        assert parse_qs(urlsplit(flow.location("e")).query)["error"][-1] == "e"  # type: ignore[type-var]
        assert AuthorizationFlows(b"key").resume(flow.cookie, "okta", flow.state) == flow
        return "taken"

    fuzz(score, st.lists(pieces, max_size=12).map(lambda given: "/" + "".join(given)) | st.text(), begin)
