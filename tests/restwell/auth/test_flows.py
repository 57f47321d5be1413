"""What ties a sign-in elsewhere to a browser."""

from restwell.auth.elsewhere import Flow, Flows


def test_what_the_provider_is_shown_tells_nothing_of_the_verifier() -> None:
    """Breaks when state, nonce and verifier are derived alike: the state stands in the address, and PKCE would prove nothing."""
    flow = Flows(b"key").begin("okta")
    assert len({flow.state, flow.nonce, flow.verifier, flow.challenge, flow.cookie}) == 5
    assert len(flow.verifier) == 43  # RFC 7636 4.1 asks for 43 to 128


def test_a_flow_is_resumed_by_the_server_that_began_it_and_by_no_other() -> None:
    flow = Flows(b"key").begin("okta", return_to="/account")
    assert Flows(b"key").resume(flow.cookie, "okta", flow.state) == flow
    assert Flows(b"other key").begin("okta") != flow
    for cookie in ("", "x", "\u00e9", flow.cookie[:-1], flow.cookie + "AA"):
        assert _refused(cookie, flow)


def _refused(cookie: str, flow: Flow) -> bool:
    try:
        Flows(b"key").resume(cookie, "okta", flow.state)
    except Exception as error:  # noqa: BLE001  # that it is no crash is what is asked
        return type(error).__name__ == "InvalidSignIn"
    return False
