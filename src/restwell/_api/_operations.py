"""Compares the operations of two documents."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from restwell._api._changes import Change, Level, merged
from restwell._api._documents import METHODS
from restwell._api._parameters import parameter_changes
from restwell._api._responses import response_changes
from restwell._api._rules import REQUEST, Rule, change
from restwell._api._schemas import SchemaComparison, is_retired, lifecycle_changes
from restwell._api._security import renamed_schemes, requirement_changes, scheme_changes
from restwell._api._webhooks import webhook_changes

_PARAMETER_NAME: Final = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class _Operation:
    label: str
    path: str
    described: Mapping[str, Any]


def compare_documents(old: Mapping[str, Any], new: Mapping[str, Any], now: datetime) -> list[Change]:
    """All changes, most severe first. Both documents are covered by the comparison (``faults_of``).

    What is deprecated and past its sunset at ``now`` may be removed.
    """
    old_parts, new_parts = old.get("components", {}), new.get("components", {})
    schemas = SchemaComparison(old_parts.get("schemas", {}), new_parts.get("schemas", {}), now)
    old_schemes, new_schemes = old_parts.get("securitySchemes", {}), new_parts.get("securitySchemes", {})
    renamed = renamed_schemes(old_schemes, new_schemes)
    changes = [*_base_changes(old, new), *scheme_changes(old_schemes, new_schemes)]
    before, after = _operations(old), _operations(new)
    for key, operation in before.items():
        if key in after:
            changes += _operation_changes(operation, after[key], schemas, renamed)
        else:
            changes.append(_removed(operation, now))
    for key, operation in after.items():
        if key not in before:
            changes.append(Change(Level.SAFE, "operation", "added", operations=(operation.label,)))
    changes += webhook_changes(old.get("webhooks", {}), new.get("webhooks", {}), schemas)
    return merged([*changes, *schemas.changes()])


def _operations(document: Mapping[str, Any]) -> dict[tuple[str, str], _Operation]:
    """By method and path. The names of the parameters in a path are no part of a request."""
    return {
        (method, _PARAMETER_NAME.sub("{}", path)): _Operation(f"{method.upper()} {path}", path, item[method])
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    }


def _base_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """The host depends on where the document was written, its path does not."""
    before, after = _base_paths(old), _base_paths(new)
    if before != after:
        what = f"path {', '.join(before) or '/'} -> {', '.join(after) or '/'}"
        consequence = "Every call of a client that begins with the old path fails."
        yield Change(Level.BREAKING, "servers", what, consequence, "Serve both paths.")


def _base_paths(document: Mapping[str, Any]) -> list[str]:
    return sorted({urlsplit(server["url"]).path.rstrip("/") for server in document.get("servers", ())} or {""})


def _removed(operation: _Operation, now: datetime) -> Change:
    if is_retired(operation.described, now):
        return Change(Level.SAFE, "operation", "removed after its sunset date", operations=(operation.label,))
    return Change(
        Level.BREAKING,
        "operation",
        "removed",
        "Clients that call it get a 404 or 405.",
        "Keep it, announce its end with a sunset date, and remove it after that date.",
        (operation.label,),
    )


def _operation_changes(
    old: _Operation, new: _Operation, schemas: SchemaComparison, renamed: Mapping[str, str]
) -> Iterator[Change]:
    before, after, label = old.described, new.described, new.label
    yield from _name_changes(old, new)
    for what, rule in lifecycle_changes(before, after):
        yield change(label, "operation", what, rule)
    required = [
        {renamed.get(name, name): scopes for name, scopes in each.items()} for each in before.get("security", ())
    ]
    yield from requirement_changes(required, after.get("security"), label)
    yield from parameter_changes(
        (old.path, before.get("parameters", ())), (new.path, after.get("parameters", ())), label, schemas
    )
    yield from _body_changes(before.get("requestBody"), after.get("requestBody"), label, schemas)
    has_sunset = "x-sunset" in after
    yield from response_changes(before["responses"], after["responses"], label, schemas, has_sunset=has_sunset)


def _name_changes(old: _Operation, new: _Operation) -> Iterator[Change]:
    """What generated clients name their functions, modules and arguments after."""
    cure = "Keep the name in this version."
    consequence = "Clients that are generated again have other names, so code that uses them fails to compile."
    for where, key in (("operationId", "operationId"), ("tags", "tags")):
        before, after = old.described.get(key), new.described.get(key)
        if before != after:
            yield change(new.label, where, f"{before} -> {after}", Rule(Level.RISKY, consequence, cure))
    if old.path != new.path:
        yield change(new.label, "names in the path", f"{old.path} -> {new.path}", Rule(Level.RISKY, consequence, cure))


def _body_changes(
    old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, label: str, schemas: SchemaComparison
) -> Iterator[Change]:
    if old is None or new is None:
        if new is not None and new.get("required"):
            rule = Rule(Level.BREAKING, "Requests without a body are refused.", "Make the body optional.")
            yield change(label, "request body", "required now", rule)
        elif new is not None:
            yield change(label, "request body", "optional body added", Rule(Level.SAFE))
        elif old is not None:
            rule = Rule(Level.BREAKING, "What clients send has no effect.", "Keep accepting the body in this version.")
            yield change(label, "request body", "removed", rule)
        return
    if bool(old.get("required")) is not bool(new.get("required")):
        rule = Rule(Level.BREAKING, "Requests without a body are refused.", "Make the body optional.")
        required = new.get("required")
        what = "required now" if required else "optional now"
        yield change(label, "request body", what, rule if required else Rule(Level.SAFE))
    before, after = old["content"], new["content"]
    for media_type in before:
        if media_type in after:
            schemas.compare(before[media_type]["schema"], after[media_type]["schema"], REQUEST, "body", label)
        else:
            rule = Rule(Level.BREAKING, "Requests with it are refused with 415.", "Accept both media types.")
            yield change(label, "request body", f"{media_type} removed", rule)
    for media_type in after:
        if media_type not in before:
            yield change(label, "request body", f"{media_type} added", Rule(Level.SAFE))
