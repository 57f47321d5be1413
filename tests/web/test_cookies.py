"""Parsing of the Cookie header."""

import pytest

from restwell.web._cookies import cookies_in


@pytest.mark.parametrize(
    ("header", "cookies"),
    [
        ("", {}),
        ("a=1; b=2", {"a": "1", "b": "2"}),
        ("a=1;b=2;", {"a": "1", "b": "2"}),
        ("a=1; a=2", {"a": "1"}),
        ("a", {}),
        ("=1", {"": "1"}),
        ("a==1=", {"a": "=1="}),
        ('a="1 2"; b="', {"a": "1 2", "b": '"'}),
        (r'a="\054\"\\"', {"a": ',"\\'}),
        ("a=%20%C3%A9%", {"a": " \xe9%"}),
        ("a=\xe9", {"a": "\xe9"}),
        ("a \t=\t 1 ; b=\xa02\x85", {"a": "1", "b": "\xa02\x85"}),
        ("\xa0a=1", {"\xa0a": "1"}),
    ],
)
def test_the_cookie_header_is_parsed(header: str, cookies: dict[str, str]) -> None:
    """Breaks when the last of two equal names wins, escapes remain, or more than spaces and tabs are stripped.

    The cost is in shop/tests/contract/test_parsing_cost.py.
    """
    assert cookies_in(header) == cookies
