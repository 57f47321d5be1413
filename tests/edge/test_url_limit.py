"""The limit on the length of a request target."""

import pytest

from api_client import assert_problem
from edge_client import request
from restwell.edge._request_id import RequestId
from restwell.edge._url_limit import MAX_BYTES, UrlLimit

HOOKS = [RequestId(), UrlLimit()]


@pytest.mark.parametrize("target", ["/{}", "/?{}", "/a?{}"])
async def test_a_target_over_the_limit_gets_a_414(target: str) -> None:
    """Breaks when only the path or only the query is counted. The question mark is not counted."""
    longest = target.format("a" * (MAX_BYTES - len(target.replace("?", "")) + 2))
    assert (await request(path=longest, hooks=HOOKS)).status_code == 200
    assert_problem(await request(path=f"{longest}a", hooks=HOOKS), 414, "uri_too_long")


async def test_the_path_is_counted_as_it_was_sent() -> None:
    """Breaks when the decoded path is counted: it has a third of the length."""
    assert_problem(await request(path="/" + "%20" * (MAX_BYTES // 3 + 1), hooks=HOOKS), 414, "uri_too_long")
