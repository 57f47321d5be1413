"""A path in another spelling than the canonical one is not found, whatever answers the path.

The values in a path are tested with web/_paths.py.
"""

from collections.abc import Iterator
from urllib.parse import unquote

import pytest

from controller_server import serve_controllers
from fuzzing import InProcess, checked_status
from things import ID, Things


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with serve_controllers(tmp_path_factory.mktemp("things"), Things) as started:
        yield started


PATHS = ["/metrics", "/docs", "/openapi.json", "/health/live", f"/v1/things/{ID}"]
PATHS += [f"/v1/things/kept/{ID}", "/v1/things/number/-5", "/docs/start.js"]


@pytest.mark.parametrize(
    "path", [*PATHS, "/v1/things/named/a%20b", "/v1/things/named/%C3%A9", "/v1/things/named/a:b@c"]
)
def test_a_canonical_path_is_found(server: InProcess, path: str) -> None:
    assert server.send("GET", path).status == 200


def aliases(path: str) -> Iterator[str]:
    yield f"{path}/"
    yield f"{path}%2f"
    yield f"{path}%2F"
    yield f"/{path}"
    yield path.replace("/", "//")
    yield f"/.{path}"
    yield f"/x/..{path}"
    yield f"{path}/."
    yield path[:-1] + f"%{ord(path[-1]):02x}"
    yield path[:-1] + f"%{ord(path[-1]):02X}"
    yield path.replace("/", "/%2e/", 1)
    yield path.replace("/", "%2F")
    yield path.upper()
    yield f"{path};a=b"
    yield f"{path}%00"
    yield f"{path}%20"
    yield f"{path}\\"
    yield path[1:]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_is_not_canonical_is_not_found(server: InProcess, path: str) -> None:
    """Breaks with the router of the framework alone: it drops slashes and decodes characters."""
    for alias in aliases(path):
        for method in (
            "GET",
            "HEAD",
            *(["OPTIONS"] if path != "/docs/start.js" else []),
        ):  # any name matches this route
            response = server.send(method, alias)
            assert (alias, method, response.status) == (alias, method, 404)
    for alias in aliases("/v1/things/named/x"):
        if not alias.startswith("/v1/things/named/x") or alias.endswith("/"):
            assert checked_status(server.send("GET", alias)) == "404"


@pytest.mark.parametrize("root", ["/api", "/v1", "/a%20b", "/"])
@pytest.mark.parametrize("path", [f"/v1/things/{ID}", f"/v1/things/kept/{ID}", "/metrics"])
def test_a_path_behind_a_prefix_has_one_spelling(server: InProcess, root: str, path: str) -> None:
    """Breaks when the framework removes the prefix: it matches it anywhere in the path."""
    prefix = root.rstrip("/")
    assert server.send("GET", prefix + path, root_path=unquote(root)).status == 200
    others = [*aliases(prefix + path), f"/x{prefix}{path}", f"{prefix}x{path}", f"{prefix}{prefix or '/x'}{path}"]
    if path != "/metrics":
        others += [prefix + path.replace(ID, other) for other in (ID.upper(), ID.replace("-", ""), f"urn:uuid:{ID}")]
    for other in others:
        response = server.send("GET", other, root_path=unquote(root))
        assert (other, response.status) == (other, 404)


def test_a_path_whose_prefix_the_server_removed_is_found(server: InProcess) -> None:
    assert server.send("GET", f"/v1/things/{ID}", root_path="/api").status == 200
