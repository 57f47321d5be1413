"""OPTIONS requests are answered without the application."""

import re

import pytest

from edge_client import request
from restwell.edge._options import Options

HOOKS = [Options([(re.compile("/notes"), "GET, OPTIONS, POST"), (re.compile("/notes/[0-9]+"), "GET, OPTIONS")])]


@pytest.mark.parametrize(("path", "methods"), [("/notes", "GET, OPTIONS, POST"), ("/notes/5", "GET, OPTIONS")])
async def test_options_names_the_methods_of_the_path(path: str, methods: str) -> None:
    """Breaks when only the beginning of the path is compared: the first pattern would answer for both."""
    response = await request(method="OPTIONS", path=path, hooks=HOOKS)
    assert (response.status_code, response.headers["allow"], response.content) == (204, methods, b"")


@pytest.mark.parametrize(("method", "path"), [("GET", "/notes"), ("POST", "/notes/5"), ("OPTIONS", "/other")])
async def test_another_request_reaches_the_application(method: str, path: str) -> None:
    response = await request(method=method, path=path, hooks=HOOKS)
    assert (response.status_code, response.text) == (200, method.ljust(5)[:7])
