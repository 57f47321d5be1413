"""Form bodies: their content type, their size, and their fields."""

from collections.abc import Iterator

import pytest
from msgspec import Struct

from controller_server import serve_controllers
from fuzzing import InProcess, checked_status
from restwell.web import Controller, post

FORM = b"application/x-www-form-urlencoded"


class Credentials(Struct, frozen=True):
    user: str
    age: int = 0


class Forms(Controller):
    path = "/forms"

    @post()
    async def read(self, form: Credentials) -> Credentials:
        """Fields."""
        return form


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with serve_controllers(tmp_path_factory.mktemp("forms"), Forms) as started:
        yield started


def send(server: InProcess, body: bytes, content_type: bytes = FORM) -> str:
    return checked_status(server.send("POST", "/v1/forms", [(b"content-type", content_type)], body))


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (FORM, "201"),
        (FORM.upper(), "201"),
        (FORM + b"; charset=utf-8", "201"),
        (b" \t" + FORM + b" \t; charset=utf-8", "201"),
        (b"\xa0" + FORM, "415"),
        (FORM + b"\x85", "415"),
        (FORM + b"\x0b", "415"),
        (b"application/json", "415"),
        (b"", "415"),
    ],
)
def test_a_form_needs_its_content_type(server: InProcess, content_type: bytes, status: str) -> None:
    """Breaks when the content type is not checked, and with ``strip()``: a proxy does not remove Unicode spaces."""
    assert send(server, b"user=ada", content_type) == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"user=ada&age=3", 201),
        (b"user=%ff", 400),
        (b"user=\xff", 400),
        (b"user=a&user=b", 422),
        (b"age=1", 422),
        (b"&".join([b"a=b"] * 101), 400),
        (b"&" * 60_000, 400),
        (b"user=a&age=" + b"1" * 5_000, 422),
        (b"user=" + b"a" * 70_000, 413),
    ],
)
def test_the_fields_of_a_form_are_validated(server: InProcess, body: bytes, status: int) -> None:
    """Breaks when a form may be as large as any body."""
    assert send(server, body) == str(status)
