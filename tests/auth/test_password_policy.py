"""The rules of new passwords."""

import pytest

from restwell.auth import PasswordPolicy


@pytest.mark.parametrize(
    "password", ["password", "PASSWORD", "12345678", "iloveyou", "ada@example.com", "ADA.LOVE", "Ada Lovelace"]
)
async def test_a_common_or_personal_password_is_rejected(password: str) -> None:
    """Breaks without the list of common passwords, or without the user inputs."""
    reason = await PasswordPolicy().rejection(password, ["ada.love@example.com", "ada@example.com", "Ada Lovelace"])
    assert reason is not None
    assert reason.startswith("This password is too common. Choose another one")


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("x" * 7, "A password has 8 to 128 characters."),
        ("\N{GRINNING FACE}" * 7, "A password has 8 to 128 characters."),
        ("correct!", None),
        ("alllowercaseletters", None),
        ("y" * 128, None),
        ("y" * 129, "A password has 8 to 128 characters."),
    ],
)
async def test_the_length_of_a_password_is_limited_and_its_composition_is_free(
    password: str, reason: str | None
) -> None:
    assert await PasswordPolicy().rejection(password, []) == reason


@pytest.mark.parametrize(
    ("name", "length"), [("min_length", 7), ("min_length", 65), ("max_length", 63), ("max_length", 129)]
)
def test_a_policy_outside_of_the_limits_of_nist_is_an_error_at_start(name: str, length: int) -> None:
    with pytest.raises(TypeError, match="Lax: min_length must be from 8 to 64 and max_length from 64 to 128"):
        type("Lax", (PasswordPolicy,), {name: length})
