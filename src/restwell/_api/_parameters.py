"""Compares the parameters of an operation."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from restwell._api._changes import Change
from restwell._api._rules import REQUEST, SAFE, Rule, breaking, change, risky
from restwell._api._schemas import SchemaComparison, is_retired, lifecycle_changes

_Parameter = Mapping[str, Any]
_Key = tuple[str, str]
"""Where it is, and its name. A parameter in the path has its position instead."""

_IN_PATH: Final = re.compile(r"\{([^{}]*)\}")
_REQUIRED: Final = breaking("Requests without it are refused.", "Make it optional.")
_IDEMPOTENCY_KEY: Final = breaking(
    "Requests without an Idempotency-Key are refused with 400.",
    "Require it only in a new version. Until then, execute a request without a key as before.",
)
_AFTER_SUNSET: Final = "Keep it, announce its end with a sunset date, and remove it after that date."


def parameter_changes(
    old: tuple[str, Sequence[_Parameter]],
    new: tuple[str, Sequence[_Parameter]],
    label: str,
    schemas: SchemaComparison,
) -> Iterator[Change]:
    """``old`` and ``new`` are the path of the operation and its parameters."""
    before, after = _by_key(*old), _by_key(*new)
    for key, parameter in before.items():
        name = f"{parameter['in']} parameter {parameter['name']}"
        if key not in after:
            yield change(label, name, *_removed(parameter, schemas))
            continue
        other = after[key]
        was, is_ = bool(parameter.get("required")), bool(other.get("required"))
        if was is not is_:
            yield change(label, name, "required now" if is_ else "optional now", _REQUIRED if is_ else SAFE)
        if _style(parameter) != _style(other):
            rule = breaking("Clients write the value in the old form.", "Accept both forms.")
            yield change(label, name, f"style {_style(parameter)} -> {_style(other)}", rule)
        for what, rule in lifecycle_changes(parameter, other):
            yield change(label, name, what, rule)
        schemas.compare(parameter["schema"], other["schema"], REQUEST, name, label)
    for key, parameter in after.items():
        if key not in before:
            required = parameter.get("required")
            is_key = required and parameter["name"].lower() == "idempotency-key"
            rule = (_IDEMPOTENCY_KEY if is_key else _REQUIRED) if required else SAFE
            what = f"{'required' if required else 'optional'} parameter added"
            yield change(label, f"{parameter['in']} parameter {parameter['name']}", what, rule)


def _by_key(path: str, parameters: Sequence[_Parameter]) -> dict[_Key, _Parameter]:
    positions = {name: str(index) for index, name in enumerate(_IN_PATH.findall(path))}
    return {_key(parameter, positions): parameter for parameter in parameters}


def _key(parameter: _Parameter, positions: Mapping[str, str]) -> _Key:
    place, name = parameter["in"], parameter["name"]
    if place == "path":
        return place, positions.get(name, name)
    return place, name.lower() if place == "header" else name


def _removed(parameter: _Parameter, schemas: SchemaComparison) -> tuple[str, Rule]:
    if is_retired(parameter, schemas.now):
        return "removed after its sunset date", SAFE
    if parameter["in"] in {"header", "cookie"}:
        return "removed", risky("Requests with it succeed, but it has no effect.", _AFTER_SUNSET)
    return "removed", breaking("Requests with it are refused, or get another result.", _AFTER_SUNSET)


def _style(parameter: _Parameter) -> str:
    default = "form" if parameter["in"] in {"query", "cookie"} else "simple"
    style = parameter.get("style", default)
    return f"{style}, exploded" if parameter.get("explode", style == "form") else str(style)
