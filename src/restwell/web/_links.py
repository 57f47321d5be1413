"""Link headers (RFC 8288)."""

import re
from typing import Final
from urllib.parse import parse_qsl, urlencode

from restwell.edge._context import Scope

_is_plain_query: Final = re.compile(r"[\w.~=&-]*", re.ASCII).fullmatch


def next_link(scope: Scope, cursor: str) -> bytes:
    """The link to the next page: this request with the cursor."""
    query = scope["query_string"].decode("ascii")
    # Other characters could end the link, so other queries are encoded again.
    pairs = query if _is_plain_query(query) else urlencode(parse_qsl(query))
    remaining = [pair for pair in pairs.split("&") if pair and not pair.startswith("cursor=")]
    return f'<{scope["path"]}?{"&".join([*remaining, f"cursor={cursor}"])}>; rel="next"'.encode("ascii")
