"""URLs in response headers: the Link to the next page (RFC 8288), and the Location of a resource."""

import re
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from restwell.edge._context import Scope

_SAFE_IN_PATH: Final = "/:@!$&'()*+,;=~"
_is_plain_query: Final = re.compile(r"[\w.~=&-]*", re.ASCII).fullmatch


def next_page(scope: Scope, cursor: str) -> str:
    """The path and the query of the next page: this request with the cursor."""
    query = scope["query_string"].decode("latin-1")
    # Other characters could end the link, so other queries are encoded again.
    pairs = query if _is_plain_query(query) else urlencode(parse_qsl(query, keep_blank_values=True))
    remaining = [pair for pair in pairs.split("&") if pair and not pair.startswith("cursor=")]
    path = quote(scope["path"], safe=_SAFE_IN_PATH)
    return f"{path}?{'&'.join([*remaining, f'cursor={cursor}'])}"


def absolute_path(path: str, location: str) -> str:
    """The path of a resource that the request to ``path`` has created: below it, unless ``location`` is absolute."""
    if location.startswith("/"):
        return location
    return f"{quote(path, safe=_SAFE_IN_PATH)}/{quote(location, safe='')}"
