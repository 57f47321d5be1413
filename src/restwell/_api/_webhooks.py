"""Compares webhooks: the receiver of one reads it as a client reads a response."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from restwell._api._changes import Change
from restwell._api._documents import Schema
from restwell._api._responses import header_changes
from restwell._api._rules import RESPONSE, SAFE, breaking, change, risky
from restwell._api._schemas import SchemaComparison

JSON: Final = "application/json"

_REMOVED: Final = breaking("Receivers that wait for it never get it.", "Keep sending it in this version.")
_ADDED: Final = risky("Receivers that refuse what they do not know fail.", "Send it only to receivers that ask for it.")
_RENAMED: Final = risky(
    "Clients that are generated again have other names, so code that uses them fails to compile.",
    "Keep the name in this version.",
)

_Webhooks = Mapping[str, Any]


def webhook_changes(old: _Webhooks, new: _Webhooks, schemas: SchemaComparison) -> Iterator[Change]:
    for name in {**old, **new}:
        label = f"webhook {name}"
        if name not in new:
            yield change(label, "webhook", "removed", _REMOVED)
        elif name not in old:
            yield change(label, "webhook", "added", _ADDED if old else SAFE)
        else:
            yield from _changes(old[name]["post"], new[name]["post"], label, schemas)


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], label: str, schemas: SchemaComparison) -> Iterator[Change]:
    before, after = old.get("operationId"), new.get("operationId")
    if before != after:
        yield change(label, "operationId", f"{before} -> {after}", _RENAMED)
    yield from header_changes(_headers(old), _headers(new), "the webhook", label, schemas)
    schemas.compare(_payload(old), _payload(new), RESPONSE, "payload", label)


def _payload(webhook: Mapping[str, Any]) -> Schema:
    schema: Schema = webhook["requestBody"]["content"][JSON]["schema"]
    return schema


def _headers(webhook: Mapping[str, Any]) -> dict[str, Any]:
    return {each["name"]: each for each in webhook.get("parameters", ())}
