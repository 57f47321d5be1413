"""Reading requests: the body and the query string straight into the Structs that a handler names, strictly."""

import json
import re
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.datastructures import State

from restwell.auth import ClientInfo
from restwell.errors import FieldError, Invalid, MalformedRequest, UnsupportedMediaType
from restwell.web.cookies import cookies_in
from restwell.web.formats import Check, as_errors, check_of
from restwell.web.literals import readers_of
from restwell.web.validation import MAX_FAULTS, decode_hook, faults_in, first_fault

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
_MAX_AGENT: Final = 200
_MAX_NAME: Final = 100
_SHORT_QUERY: Final = 256
_encodes_nothing: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})").search
"""A percent sign that others read otherwise, or not at all, and that costs more than any other byte to decode."""
MAX_VALUES: Final = 50_000
"""So many values a body may hold, counted by commas and brackets: more would hold the event loop, whatever its size."""


class ApiRequest(Request[Any, Any, State]):
    """Litestar's request, with bodies read as the handler's ``data`` type and nothing guessed.

    PATCH takes JSON Merge Patch (RFC 7396), everything else plain JSON; any other content type is a 415.
    """

    @property
    def cookies(self) -> dict[str, str]:
        """By name. The framework reads them with the interpreter's own code, which in some releases takes minutes for some of them."""
        return cookies_in(self.headers.get("cookie", ""))

    async def body(self) -> bytes:
        if self.headers.get("content-encoding", "identity").strip().lower() != "identity":
            # A small body may grow to any size when it is unpacked. RFC 9110 15.5.16 names what is taken instead.
            raise UnsupportedMediaType(
                "Send the body as it is, not compressed.", headers={"accept-encoding": "identity"}
            )
        body = await super().body()
        if not body and "data" in self.route_handler.parsed_fn_signature.parameters:
            raise MalformedRequest("The request needs a JSON body.")
        return body

    async def json(self) -> Any:
        expected = body_media_type(self.scope["method"])
        received = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if received != expected:
            name = "accept-patch" if expected == MERGE_PATCH else "accept"
            raise UnsupportedMediaType(f"Send the body as {expected}.", headers={name: expected})
        return decode_body(await self.body(), self.route_handler.parsed_fn_signature.parameters["data"].annotation)


def body_media_type(method: str) -> str:
    """The content type that bodies of this method have."""
    return MERGE_PATCH if method == "PATCH" else JSON


def decode_body(body: bytes, kind: Any) -> Any:
    """JSON as ``kind``. Raises MalformedRequest (400), or Invalid (422) naming every fault."""
    if len(body) > MAX_VALUES and sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise MalformedRequest(f"The body holds more than {MAX_VALUES:,} values. Send them in several requests.")
    decoder, check = _reading(kind)
    try:
        try:
            decoded = decoder.decode(body)
            said = _names.decode(body.decode())
        except msgspec.ValidationError as error:
            # The decoder stops at the first fault: what follows it may not even be JSON.
            raise Invalid(errors=_faults(body, kind, error)) from None
        if check is not None and (faults := check(said)):
            raise Invalid(errors=as_errors(faults))
    except RecursionError:
        raise MalformedRequest("The body is nested too deeply.") from None
    except (msgspec.DecodeError, ValueError):
        raise MalformedRequest("The body is not valid JSON in UTF-8.") from None
    return decoded


def _faults(body: bytes, kind: Any, error: msgspec.ValidationError) -> list[FieldError]:
    try:
        raw = msgspec.json.decode(body)
    except msgspec.ValidationError:  # it holds a number that is too large for any type
        return [first_fault(error)]
    check = check_of(kind)
    written = as_errors(check(raw)) if check is not None else []
    told = {fault.path for fault in written}
    return [*written, *(fault for fault in faults_in(raw, kind, error) if fault.path not in told)][:MAX_FAULTS]


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object. One that names a field twice says two things (RFC 8259 4): a proxy may have checked the one, and we would take the other."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen = set()
    for name, _ in pairs:
        if name in seen:
            raise MalformedRequest(f"The body names `{name[:_MAX_NAME]}` twice in one object.")
        seen.add(name)
    return found


_names: Final = json.JSONDecoder(object_pairs_hook=_once_each, parse_int=float)
"""Of numbers their size does not matter here, and Python refuses integers of thousands of digits."""


def client_info(request: ApiRequest) -> ClientInfo:
    """The client, as far as its request tells."""
    agent = "".join(filter(str.isprintable, request.headers.get("user-agent", "")))
    return ClientInfo(agent[:_MAX_AGENT], request.client.host if request.client else "")


def read_filters(request: ApiRequest) -> Any:
    """The query string as the Struct that the handler's ``filters`` parameter names. Parameters not in it are ignored."""
    kind = request.route_handler.parsed_fn_signature.parameters["filters"].annotation
    return decode_query(request.scope["query_string"], kind)


def decode_query(query_string: bytes, kind: type[msgspec.Struct]) -> Any:
    """Text as the Struct's field types. Raises Invalid (422) naming every fault.

    The newest short ones are remembered, if the Struct is frozen: then it may be shared.
    """
    if kind.__struct_config__.frozen and len(query_string) <= _SHORT_QUERY:
        return _remembered(query_string, kind)
    return decode_pairs(query_string, kind)


def decode_pairs(encoded: bytes, kind: type[msgspec.Struct]) -> Any:
    """As ``decode_query``, and nothing is remembered: a form may hold secrets."""
    if _encodes_nothing(encoded):
        raise MalformedRequest("Write a percent sign as %25.")
    try:
        pairs = parse_qsl(encoded.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise MalformedRequest("Send at most 100 parameters, written in UTF-8 and percent-encoded.") from None
    readers = readers_of(kind)
    values: dict[str, Any] = {}
    faults: list[FieldError] = []
    for name, text in pairs:
        if name not in readers:
            continue
        if name in values:
            raise Invalid(errors=[FieldError(name, "given more than once")])
        values[name] = None
        try:
            values[name] = readers[name](text)
        except ValueError as error:
            faults.append(FieldError(name, str(error)))
    if faults:
        raise Invalid(errors=faults)
    try:
        return msgspec.convert(values, kind, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        found = faults_in(values, kind, error)
        raise Invalid(errors=[FieldError(f.path.removeprefix("$."), f.message) for f in found]) from None


_remembered: Final = lru_cache(maxsize=1_024)(decode_pairs)


@lru_cache(maxsize=512)
def _reading(kind: Any) -> tuple[msgspec.json.Decoder[Any], Check | None]:
    return msgspec.json.Decoder(kind, dec_hook=decode_hook), check_of(kind)
