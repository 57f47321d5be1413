"""Strict decoding of bodies and query strings into the Structs that a handler declares."""

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
from restwell.web._cookies import cookies_in
from restwell.web._formats import Check, format_check, to_field_errors
from restwell.web._literals import text_parsers
from restwell.web._validation import MAX_ERRORS, decode_hook, find_field_errors, to_field_error

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
_MAX_AGENT: Final = 200
_MAX_NAME: Final = 100
_SHORT_QUERY: Final = 256
_find_bare_percent: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})").search
"""A percent sign without two hex digits. Other parsers interpret it differently, and it is slow to decode."""
MAX_VALUES: Final = 50_000
"""Maximum number of values of a body, counted by commas and brackets. More would block the event loop."""


class ApiRequest(Request[Any, Any, State]):
    """Litestar's request with strict decoding into the type of the handler's ``data`` parameter.

    PATCH requires JSON Merge Patch (RFC 7396), other methods require JSON. Any other content type is a 415.
    """

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies by name. The parser of the framework takes quadratic time in some Python releases."""
        return cookies_in(self.headers.get("cookie", ""))

    async def body(self) -> bytes:
        """Raises UnsupportedMediaType for a compressed body, and MalformedRequest for a missing one."""
        if self.headers.get("content-encoding", "identity").strip(" \t").lower() != "identity":
            # A small compressed body can have any size decompressed. RFC 9110 15.5.16: name what is accepted.
            raise UnsupportedMediaType("Send the body without compression.", headers={"accept-encoding": "identity"})
        body = await super().body()
        if not body and "data" in self.route_handler.parsed_fn_signature.parameters:
            raise MalformedRequest("The request needs a JSON body.")
        return body

    async def json(self) -> Any:
        """Raises UnsupportedMediaType, MalformedRequest, or Invalid."""
        expected = body_media_type(self.scope["method"])
        received = self.headers.get("content-type", "").partition(";")[0].strip(" \t").lower()
        if received != expected:
            name = "accept-patch" if expected == MERGE_PATCH else "accept"
            raise UnsupportedMediaType(f"Send the body as {expected}.", headers={name: expected})
        return decode_body(await self.body(), self.route_handler.parsed_fn_signature.parameters["data"].annotation)


def body_media_type(method: str) -> str:
    """The required content type of bodies of this method."""
    return MERGE_PATCH if method == "PATCH" else JSON


def decode_body(body: bytes, kind: Any) -> Any:
    """Decode JSON as ``kind``. Raises MalformedRequest (400), or Invalid (422) with every field error."""
    if len(body) > MAX_VALUES and sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise MalformedRequest(f"The body has more than {MAX_VALUES:,} values. Split it into several requests.")
    decoder, check = _decoder_and_check(kind)
    try:
        try:
            decoded = decoder.decode(body)
            raw = _duplicate_checking_decoder.decode(body.decode())
        except msgspec.ValidationError as error:
            # The decoder stops at the first error. The rest of the body may be malformed JSON.
            raise Invalid(errors=_field_errors(body, kind, error)) from None
        if check is not None and (errors := check(raw)):
            raise Invalid(errors=to_field_errors(errors))
    except RecursionError:
        raise MalformedRequest("The body is nested too deeply.") from None
    except (msgspec.DecodeError, ValueError):
        raise MalformedRequest("The body is not valid JSON in UTF-8.") from None
    return decoded


def _field_errors(body: bytes, kind: Any, error: msgspec.ValidationError) -> list[FieldError]:
    try:
        raw = msgspec.json.decode(body)
    except msgspec.ValidationError:  # a number is too large for any type
        return [to_field_error(error)]
    check = format_check(kind)
    format_errors = to_field_errors(check(raw)) if check is not None else []
    paths = {each.path for each in format_errors}
    other_errors = (each for each in find_field_errors(raw, kind, error) if each.path not in paths)
    return [*format_errors, *other_errors][:MAX_ERRORS]


def _reject_duplicate_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build the object. Duplicate names are ambiguous (RFC 8259 4): a proxy may have validated the other value."""
    unique = dict(pairs)
    if len(unique) == len(pairs):
        return unique
    seen = set()
    for name, _ in pairs:
        if name in seen:
            raise MalformedRequest(f"An object in the body has the field `{name[:_MAX_NAME]}` twice.")
        seen.add(name)
    return unique


_duplicate_checking_decoder: Final = json.JSONDecoder(object_pairs_hook=_reject_duplicate_names, parse_int=float)
"""Parses numbers as float: their value is not used, and ``int`` rejects more than 4,300 digits."""


def client_info(request: ApiRequest) -> ClientInfo:
    """The user agent and the IP address of the client."""
    agent = "".join(filter(str.isprintable, request.headers.get("user-agent", "")))
    return ClientInfo(agent[:_MAX_AGENT], request.client.host if request.client else "")


def read_filters(request: ApiRequest) -> Any:
    """Inject the handler's ``filters`` parameter, decoded into its Struct. Unknown parameters are ignored."""
    kind = request.route_handler.parsed_fn_signature.parameters["filters"].annotation
    return decode_query(request.scope["query_string"], kind)


def decode_query(query_string: bytes, kind: type[msgspec.Struct]) -> Any:
    """Decode a query string. Raises Invalid (422) with every field error.

    Results for short query strings are cached if the Struct is frozen, so that it can be shared.
    """
    if kind.__struct_config__.frozen and len(query_string) <= _SHORT_QUERY:
        return _decode_cached(query_string, kind)
    return decode_form(query_string, kind)


def decode_form(encoded: bytes, kind: type[msgspec.Struct]) -> Any:
    """Like ``decode_query`` without a cache: a form may contain secrets."""
    if _find_bare_percent(encoded):
        raise MalformedRequest("Encode a percent sign as %25.")
    try:
        pairs = parse_qsl(encoded.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise MalformedRequest("Send at most 100 parameters, in UTF-8 and percent-encoded.") from None
    parsers = text_parsers(kind)
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, text in pairs:
        if name not in parsers:
            continue
        if name in values:
            raise Invalid(errors=[FieldError(name, "given more than once")])
        values[name] = None
        try:
            values[name] = parsers[name](text)
        except ValueError as error:
            errors.append(FieldError(name, str(error)))
    if errors:
        raise Invalid(errors=errors)
    try:
        return msgspec.convert(values, kind, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        errors = find_field_errors(values, kind, error)
        raise Invalid(errors=[FieldError(e.path.removeprefix("$."), e.message) for e in errors]) from None


_decode_cached: Final = lru_cache(maxsize=1_024)(decode_form)


@lru_cache(maxsize=512)
def _decoder_and_check(kind: Any) -> tuple[msgspec.json.Decoder[Any], Check | None]:
    return msgspec.json.Decoder(kind, dec_hook=decode_hook), format_check(kind)
