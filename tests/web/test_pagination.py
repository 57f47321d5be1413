"""The Link header of a page."""

from typing import Any

import pytest

from restwell.pages import Page
from restwell.web import ApiRequest, paged


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        (b"", "/v1/things?cursor=abc"),
        (b"limit=2&cursor=old&sort=-name", "/v1/things?limit=2&sort=-name&cursor=abc"),
        (b"name=a%20b", "/v1/things?name=a+b&cursor=abc"),
        (b'name=>; rel="prev"', "/v1/things?name=%3E%3B+rel%3D%22prev%22&cursor=abc"),
    ],
)
def test_the_link_to_the_next_page_keeps_the_query(asked: bytes, target: str) -> None:
    """Breaks when characters that end the link are not encoded: a client could inject another link."""
    scope: Any = {"type": "http", "path": "/v1/things", "query_string": asked, "headers": []}  # the only attribute used
    request = ApiRequest(scope)
    answer = paged(request, Page([1], "abc"))
    assert answer.headers["link"] == f'<{target}>; rel="next"'
    assert "link" not in paged(request, Page([1], None)).headers
