"""Every value in a path has one canonical form, so that proxies and caches compare what the application reads."""

from collections.abc import Iterator

import pytest

from controller_server import serve_controllers
from fuzzing import InProcess, checked_status
from things import ID, Things


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with serve_controllers(tmp_path_factory.mktemp("things"), Things) as started:
        yield started


@pytest.mark.parametrize("before", ["/v1/things/", "/v1/things/kept/"])
@pytest.mark.parametrize(
    "written", [ID.upper(), ID.replace("-", ""), f"%7B{ID}%7D", f"urn:uuid:{ID}", f"{ID[:-1]}A", ID[:-1], f"{ID}0", "0"]
)
def test_an_id_that_is_not_canonical_is_not_found(server: InProcess, before: str, written: str) -> None:
    """Breaks with ``UUID`` alone: it accepts braces, upper case and `urn:uuid:`."""
    assert checked_status(server.send("GET", before + written)) == "404"


@pytest.mark.parametrize(
    "written", ["+5", "-0", "05", "5.0", "1e1", "1_0", "%EF%BC%95", "%205", "0x5", "9" * 30, "", "-"]
)
def test_a_number_in_a_path_that_is_not_canonical_is_not_found(server: InProcess, written: str) -> None:
    """Breaks with ``int`` alone, which accepts them."""
    assert checked_status(server.send("GET", f"/v1/things/number/{written}")) == "404"


@pytest.mark.parametrize("written", ["%c3%a9", "%61", "a%3Ab", "a%2fb", "\u00e9", "%00", "a%0Ab", "%7F"])
def test_a_percent_encoding_that_is_not_canonical_is_not_found(server: InProcess, written: str) -> None:
    """Breaks when a text may contain a control character, or when the encoded form is not compared with the request."""
    assert checked_status(server.send("GET", f"/v1/things/named/{written}")) == "404"
