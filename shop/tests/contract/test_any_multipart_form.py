"""Fuzzed multipart forms: the response is never a 5xx, and the event loop is never blocked.

Breaks when a parser does not catch an exception of a library, such as that of an unknown codec in a part.
"""

import io
from typing import Any, Final

import pytest
from PIL import Image

from fuzzing import MARK, InProcess, Response, fuzz
from mutations import NO_FIELD_VALUE, Choices, from_choices, mutated
from scoreboard import Score
from seeded_shop import SeededShop


def test_the_form_that_the_fuzzer_changes_is_valid(server: InProcess, seeded: SeededShop) -> None:
    admin = (b"authorization", b"Bearer " + seeded.admin)
    content_type, body = multipart_of(Choices(b""))
    response = server.send("POST", images_of(seeded), [admin, (b"content-type", content_type)], body)
    assert response.status == 202, response.body


def _photo() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 12), "red").save(buffer, "PNG")
    return buffer.getvalue()


PHOTO: Final = _photo()


def images_of(seeded: SeededShop, which: int = 0) -> str:
    """The images of one product. Each product has a maximum number."""
    return f"/v1/products/{seeded.values['product_id'][which]}/images"


def multipart_of(choose: Choices) -> tuple[bytes, bytes]:
    """Content-Type and body, with up to two unusual parts."""
    what = {choose.below(10), choose.below(10)}

    def one(number: int, *forms: Any) -> Any:
        return choose.of(forms) if number in what else forms[0]

    boundary = one(
        1, b"----WebKitFormBoundary7MA4YWxkTrZu0gW", b"x", b"--", b"a b", b"x" * 70, b"x" * 71, b"(:?)", b"\xc3\xa9"
    )
    said = mutated(choose, boundary) if choose.below(24) == 23 else boundary
    content_type = b"multipart/form-data; boundary=" + (b'"' + said + b'"' if b" " in said or choose.below(2) else said)
    if choose.below(16) == 15:
        content_type = mutated(choose, content_type)
    headers = [
        b"Content-Disposition: form-data; " + one(
            2, b'name="file"; filename="a.png"', b"name=file; filename=a.png",
            b"name=\"file\"; filename*=UTF-8''%e2%82%ac.png",
            b"name=\"file\"; filename=\"a.png\"; filename*=no-such''%ff", b'name="file"', b'filename="a.png"',
            b'name="file"; filename=""', b'name="file"; filename="\xff\\"\xc3\xa9"', b'name="_charset_"',
            b'name="file"; name="other"; filename="a.png"',
        ),
        one(
            3, b"Content-Type: image/png", b"Content-Type: text/plain; charset=utf-7",
            b"Content-Type: text/plain; charset=no-such",
            b'Content-Type: text/plain; charset="\xff"', b"Content-Type:", b"Content-Transfer-Encoding: base64",
            b"X: " + b"y" * 9_000,
            b"Content-Disposition: form-data; name=x", b": y", b"no colon", b"A: b\r\n c",
            b"Content-Length: 9" + b"9" * 400,
        ),
    ]  # fmt: skip
    if 4 in what:
        headers = [mutated(choose, header) for header in headers]
    content = one(5, PHOTO, b"", b"\r\n--", b"--" + boundary, b"\r\n--" + boundary[:-1])
    if 6 in what:
        content = mutated(choose, content)
    end = one(7, b"\r\n", b"\n", b"\r")
    part = b"--" + boundary + end + end.join(headers) + end + end + content + end
    closed = one(8, b"--\r\n", b"--", b"--\r\nafter", b"-", b"\r\n", b"")
    body = part * one(8, 1, 2, 11, 0) + b"--" + boundary + closed
    if 9 in what:
        body = mutated(choose, body)
    return content_type.translate(None, NO_FIELD_VALUE).strip(), body


@pytest.mark.scoreboard("T1", "any multipart form, in pieces", MARK, backend="SQLite")
def test_no_multipart_form_causes_a_5xx(server: InProcess, seeded: SeededShop, score: Score) -> None:
    admin = (b"authorization", b"Bearer " + seeded.admin)

    def send(given: tuple[tuple[bytes, bytes], int, int]) -> Response:
        (content_type, body), piece, which = given
        piece = max(piece, len(body) // 500) if piece else 0  # each chunk costs a turn of the event loop
        return server.send(
            "POST", images_of(seeded, which), [admin, (b"content-type", content_type)], body, chunk_size=piece
        )

    fuzz(
        score,
        from_choices(
            lambda choose: (multipart_of(choose), choose.of((0, 0, 1, 7, 100, 4_096)), choose.below(100)), size=32
        ),
        send,
    )
