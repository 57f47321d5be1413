"""What one client gets of a cached response. The headers of whole responses are tested with the response cache."""

import gzip
import json

import msgspec
import pytest

from restwell.edge._cached_response import (
    GZIP,
    IDENTITY,
    MIN_COMPRESS_BYTES,
    REQUEST_ID,
    CachedResponse,
    negotiate_encoding,
    variant_of,
    with_request_id,
)
from restwell.edge._context import Headers
from restwell.edge._route import CachePolicy

POLICY = CachePolicy(60, 0, (), lambda _: ["tag"], lambda _: ({}, b""))


def no_headers(_headers: Headers) -> None: ...


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (b"gzip", GZIP),
        (b"*", GZIP),
        (b"GZIP;q=1.0", GZIP),
        (b"gzip; q=0.001", GZIP),
        (b"gzip;q=0", IDENTITY),
        (b"gzip;q=0.000, *", IDENTITY),
        (b"br, deflate", IDENTITY),
        (b"identity", IDENTITY),
        (b"", IDENTITY),
        (b"*;q=0", IDENTITY),
        (b"gzip" + b"," * 1_020, GZIP),
        (b"gzip" + b"," * 1_021, IDENTITY),  # longer than MAX_ACCEPT_ENCODING_BYTES
    ],
)
def test_the_content_coding_is_negotiated(accepted: bytes, coding: bytes) -> None:
    assert negotiate_encoding(accepted) == coding


def test_a_cached_response_survives_serialization() -> None:
    response = CachedResponse(200, [(b"a", b"b")], gzip.compress(json.dumps("x").encode()), 1.5)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(response), type=CachedResponse) == response


def test_a_long_cached_error_has_the_id_of_the_request_and_its_length() -> None:
    """Breaks when an error is compressed: the body with the id is not, so Content-Encoding would be wrong."""
    body = f"{'x' * MIN_COMPRESS_BYTES} {REQUEST_ID}".encode()
    cached = CachedResponse(404, [(b"content-type", b"application/problem+json")], body, 0.0)
    variant = variant_of(cached, POLICY, GZIP, no_headers)
    status, headers, content = with_request_id(cached, variant, [(b"age", b"1")], "request-1")
    assert (status, content) == (404, b"x" * MIN_COMPRESS_BYTES + b" request-1")
    assert dict(headers)[b"content-length"] == str(len(content)).encode()
    assert (dict(headers)[b"age"], dict(headers).get(b"content-encoding")) == (b"1", None)
