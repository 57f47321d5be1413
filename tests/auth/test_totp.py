"""One-time passwords, as RFC 6238 and authenticator apps compute them."""

from base64 import b32encode

import pytest

from restwell.auth._totp import matching_totp_step, new_totp_secret, totp_uri

SECRET = b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("time", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_codes_are_those_of_the_standard(time: int, code: str) -> None:
    """RFC 6238, appendix B, with six digits."""
    assert matching_totp_step(SECRET, code, time) == time // 30


def test_a_code_is_accepted_one_step_early_or_late_and_names_its_own_step() -> None:
    """Breaks when the current step is returned: a code could be used again in the next step."""
    step, code = 1111111109 // 30, "081804"
    accepted = {now: matching_totp_step(SECRET, code, (step + now) * 30) for now in (-2, -1, 0, 1, 2)}
    assert accepted == {-2: None, -1: step, 0: step, 1: step, 2: None}


@pytest.mark.parametrize("code", ["", "81804", "0818040", "081805", " 81804", "٠٨١٨٠٤"])
def test_no_other_text_is_a_code(code: str) -> None:
    assert matching_totp_step(SECRET, code, 1111111109) is None


def test_a_secret_has_160_random_bits_and_fits_an_authenticator_app() -> None:
    assert len({new_totp_secret() for _ in range(100)}) == 100
    assert {len(new_totp_secret()) for _ in range(10)} == {32}
    uri = totp_uri(SECRET, account="ada@example.com", issuer="my shop")
    assert uri == f"otpauth://totp/my%20shop:ada%40example.com?secret={SECRET}&issuer=my%20shop"
