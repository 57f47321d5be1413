"""Strict decoding of bodies, query strings and forms into the types that a handler declares."""

import json
import re
from collections import Counter
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from restwell.errors import FieldError, Invalid, MalformedRequest
from restwell.web._formats import Check, format_check, to_field_errors
from restwell.web._literals import text_parsers
from restwell.web._validation import MAX_ERRORS, decode_hook, find_field_errors, to_field_error

_MAX_NAME: Final = 100
_SHORT_QUERY: Final = 256
_find_bare_percent: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})").search
"""A percent sign without two hex digits. Other parsers interpret it differently, and it is slow to decode."""
MAX_VALUES: Final = 50_000
"""Maximum number of values of a body, counted by commas and brackets. More would block the event loop."""


def decode_body(body: bytes, kind: Any) -> Any:
    """Decode JSON as ``kind``. Raises MalformedRequest (400), or Invalid (422) with every field error."""
    _check_size(body, MAX_VALUES)
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


def parse_json(body: bytes, *, max_values: int) -> Any:
    """Parse JSON without converting it. Raises MalformedRequest, also for a field that is given twice."""
    _check_size(body, max_values)
    try:
        return _duplicate_checking_decoder.decode(body.decode())
    except RecursionError:
        raise MalformedRequest("The body is nested too deeply.") from None
    except ValueError:
        raise MalformedRequest("The body is not valid JSON in UTF-8.") from None


def _check_size(body: bytes, max_values: int) -> None:
    if len(body) > max_values and sum(map(body.count, (b",", b"[", b"{"))) > max_values:
        raise MalformedRequest(f"The body has more than {max_values:,} values. Split it into several requests.")


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
    twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
    raise MalformedRequest(f"An object in the body has the field `{twice[:_MAX_NAME]}` twice.")


def _reject_constant(name: str) -> None:
    raise ValueError(name)


_duplicate_checking_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_reject_duplicate_names, parse_int=float, parse_constant=_reject_constant
)
"""Rejects NaN and Infinity (RFC 8259 6).

Parses numbers as float: their value is not used, and ``int`` rejects more than 4,300 digits.
"""


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
