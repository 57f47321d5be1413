"""The Link header of a page."""

import re
from typing import Final, TypeVar
from urllib.parse import parse_qsl, urlencode

from litestar import Response

from restwell.pages import Page
from restwell.web._request import ApiRequest

T = TypeVar("T")

_is_plain_query: Final = re.compile(r"[\w.~=&-]*", re.ASCII).fullmatch


def paged(request: ApiRequest, page: Page[T]) -> Response[Page[T]]:
    """Respond with the page and a Link header (RFC 8288) to the next page."""
    headers = {}
    if page.next_cursor is not None:
        query = request.scope["query_string"].decode("ascii")
        # Other characters could end the link, so other queries are encoded again.
        pairs = query if _is_plain_query(query) else urlencode(parse_qsl(query))
        remaining = [pair for pair in pairs.split("&") if pair and not pair.startswith("cursor=")]
        headers["link"] = (
            f'<{request.scope["path"]}?{"&".join([*remaining, f"cursor={page.next_cursor}"])}>; rel="next"'
        )
    return Response(page, headers=headers)
