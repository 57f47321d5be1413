"""Compares the responses of an operation: statuses, problem codes, headers and media types."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from restwell._api._changes import Change
from restwell._api._rules import RESPONSE, SAFE, Rule, breaking, change, risky
from restwell._api._schemas import SchemaComparison, lifecycle_changes

_Responses = Mapping[str, Any]

_GONE: Final = "410"
_NEW_STATUS: Final = breaking(
    "Clients that accept only the documented statuses take the response for a failure.",
    "Answer with the old status in this version.",
)
_NEW_REDIRECT: Final = risky("Clients that follow no redirect fail.", "Answer as before in this version.")
_NEW_ERROR: Final = risky(
    "Clients that treat each documented error have no branch for this one.",
    "Tell clients before, or answer with an error that is documented.",
)
_OTHER_STATUS: Final = breaking(
    "Clients that choose by the status treat the error as another one.", "Keep the status of the code."
)
_REMOVED: Final = breaking("Clients that read it fail.", "Keep sending it in this version.")


def response_changes(
    old: _Responses, new: _Responses, label: str, schemas: SchemaComparison, *, has_sunset: bool = False
) -> Iterator[Change]:
    """``has_sunset``: clients are told of the 410 by the Sunset header."""
    for status in old:
        if status not in new:
            rule = breaking("Clients that wait for it never get it.", "Keep the status in this version.")
            yield change(label, f"response {status}", "removed", rule if status < "4" else SAFE)
    for status, response in new.items():
        if status not in old:
            rule = SAFE if has_sunset and status == _GONE else _added(status)
            yield change(label, f"response {status}", "added", rule)
        else:
            yield from _content_changes(old[status], response, status, label, schemas)
            yield from header_changes(
                old[status].get("headers", {}), response.get("headers", {}), status, label, schemas
            )
    yield from _code_changes(_codes(old), _codes(new), label, _GONE if has_sunset else None)


def _added(status: str) -> Rule:
    if status == "304":
        return SAFE  # only to a client that sends If-None-Match
    if status.startswith("3"):
        return _NEW_REDIRECT
    return _NEW_ERROR if status >= "4" else _NEW_STATUS


def _content_changes(
    old: Mapping[str, Any], new: Mapping[str, Any], status: str, label: str, schemas: SchemaComparison
) -> Iterator[Change]:
    before, after, where = old.get("content", {}), new.get("content", {}), f"response {status}"
    for media_type in before:
        if media_type in after:
            schemas.compare(
                before[media_type]["schema"], after[media_type]["schema"], RESPONSE, f"body of {status}", label
            )
        else:
            rule = breaking("Clients that read it fail.", "Keep answering with the old media type by default.")
            yield change(label, where, f"{media_type} removed", rule)
    for media_type in after:
        if media_type not in before:
            rule = risky("Clients that accept any media type may get the new one.", "Send it only if it is asked for.")
            yield change(label, where, f"{media_type} added", rule if before else SAFE)


def header_changes(
    old: Mapping[str, Any], new: Mapping[str, Any], status: str, label: str, schemas: SchemaComparison
) -> Iterator[Change]:
    before, after = ({name.lower(): (name, header) for name, header in each.items()} for each in (old, new))
    for key, (name, header) in before.items():
        where = f"header {name} of {status}"
        if key not in after:
            yield change(label, where, "removed", _REMOVED)
            continue
        _, other = after[key]
        was, is_ = bool(header.get("required")), bool(other.get("required"))
        if was is not is_:
            yield change(label, where, "always sent now" if is_ else "not always sent now", SAFE if is_ else _REMOVED)
        for what, rule in lifecycle_changes(header, other):
            yield change(label, where, what, rule)
        schemas.compare(header["schema"], other["schema"], RESPONSE, where, label)
    for key, (name, _) in after.items():
        if key not in before:
            yield change(label, f"header {name} of {status}", "added", SAFE)


def _codes(responses: _Responses) -> dict[str, set[str]]:
    """The statuses of each problem code: the names of the examples of errors."""
    statuses: dict[str, set[str]] = {}
    for status, response in responses.items():
        if status >= "4":
            for content in response.get("content", {}).values():
                for code in content.get("examples", {}):
                    statuses.setdefault(code, set()).add(status)
    return statuses


def _code_changes(
    old: Mapping[str, set[str]], new: Mapping[str, set[str]], label: str, announced: str | None
) -> Iterator[Change]:
    for code, statuses in new.items():
        if code not in old:
            rule = SAFE if statuses == {announced} else _NEW_ERROR
            yield change(label, f"errors {_joined(statuses)}", f"code {code} added", rule)
        elif old[code] != statuses:
            what = f"status of {code} {_joined(old[code])} -> {_joined(statuses)}"
            yield change(label, "errors", what, _OTHER_STATUS)
    for code, statuses in old.items():
        if code not in new:
            yield change(label, f"errors {_joined(statuses)}", f"code {code} removed", SAFE)


def _joined(statuses: set[str]) -> str:
    return ", ".join(sorted(statuses))
