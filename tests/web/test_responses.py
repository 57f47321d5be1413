"""Responses with headers: Location, ETag, downloads and resources that never change."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Response

from controller_server import serve_controllers
from fuzzing import InProcess, checked_status
from restwell.web import Controller, accepted, created, download, get, immutable, with_etag
from restwell.web._responses import CHUNK_BYTES

CONTENT = b"0123456789" * (CHUNK_BYTES // 8)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    folder = tmp_path_factory.mktemp("downloads")
    (folder / "report.csv").write_bytes(CONTENT)

    class Downloads(Controller):
        path = "/downloads"

        @get("/report")
        async def report(self) -> Response[bytes]:
            """A file of more than one chunk."""
            return download(folder / "report.csv", "text/csv")

        @get("/folder")
        async def no_file(self) -> Response[bytes]:
            """A folder is no file."""
            return download(Path(folder), "text/csv")

        @get("/logo")
        async def logo(self) -> Response[bytes]:
            """A resource that never changes."""
            return immutable(b"logo", "image/webp")

    with serve_controllers(folder, Downloads) as started:
        yield started


def test_a_download_is_complete_and_not_stored(server: InProcess) -> None:
    """Breaks when only the first chunk is sent, and when the browser shows the file in place of saving it."""
    response = server.send("GET", "/v1/downloads/report")
    assert (response.status, response.body == CONTENT) == (200, True)
    assert response.headers[b"content-disposition"] == b'attachment; filename="report.csv"'
    assert response.headers[b"content-length"] == b"%d" % len(CONTENT)
    assert response.headers[b"content-type"].startswith(b"text/csv")
    assert response.headers[b"cache-control"] == b"no-store"


def test_a_download_that_is_no_file_is_not_found(server: InProcess) -> None:
    assert checked_status(server.send("GET", "/v1/downloads/folder")) == "404"


def test_an_immutable_resource_is_stored_for_a_year_and_may_be_embedded(server: InProcess) -> None:
    """Breaks when the default headers of the edge replace its own."""
    response = server.send("GET", "/v1/downloads/logo")
    assert (response.headers[b"content-type"], response.body) == (b"image/webp", b"logo")
    assert response.headers[b"cache-control"] == b"public, max-age=31536000, immutable"
    assert response.headers[b"cross-origin-resource-policy"] == b"cross-origin"


def test_a_response_has_the_status_and_the_location_of_its_kind() -> None:
    new, later = created("note", "/v1/notes/1", headers={"x-own": "yes"}), accepted("job", "/v1/jobs/1")
    assert (new.status_code, new.headers["location"], new.headers["x-own"]) == (201, "/v1/notes/1", "yes")
    assert (later.status_code, later.headers["location"]) == (202, "/v1/jobs/1")


def test_the_representation_of_a_version_is_revalidated_before_each_use() -> None:
    """Breaks when a cache may use it without asking: its reader would send an old ETag."""
    headers = with_etag({}, 3, location="/v1/notes/1").headers
    assert (headers["etag"], headers["cache-control"], headers["location"]) == ('"3"', "no-cache", "/v1/notes/1")
    assert "location" not in with_etag({}, 3).headers
