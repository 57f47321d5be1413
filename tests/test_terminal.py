"""Text on a terminal has no commands to it."""

import pytest

from restwell._terminal import printable, printable_in_colors


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("größe 日本", "größe 日本"),
        ("two\n\tlines", "two\n\tlines"),
        ("a\x1b]0;title\x07b", r"a\x1b]0;title\x07b"),
        ("a\x9b2Jb\x7f", r"a\x9b2Jb\x7f"),  # CSI in one character
        ("hidden\rshown", r"hidden\rshown"),
        ("\u202etxt.exe", r"\u202etxt.exe"),  # from right to left
        ("\udc80", r"\udc80"),  # cannot be encoded
    ],
)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    """Fails if one reaches the terminal, which takes it for a command."""
    assert printable(text) == printable_in_colors(text) == shown


def test_colors_stay_and_what_looks_like_one_does_not() -> None:
    """Fails if the sequences of a log line in colors are escaped, or if one that moves the cursor stays."""
    assert printable_in_colors("\x1b[1;31mred\x1b[0m \x1b[2J\x1b[1A") == "\x1b[1;31mred\x1b[0m " + r"\x1b[2J\x1b[1A"
    assert printable("\x1b[31mred") == r"\x1b[31mred"
