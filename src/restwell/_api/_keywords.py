"""Differences between two alternatives of one JSON type, from the keywords of that type alone."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor, inf
from typing import Any, Final

import msgspec

from restwell._api._arms import Arm
from restwell._api._documents import Schema
from restwell._api._rules import Difference, Topic

_LOWER: Final = ("minLength", "minItems", "minProperties")
_UPPER: Final = ("maxLength", "maxItems", "maxProperties")
_FORMATS: Final = ("format", "contentMediaType", "contentEncoding")


def keyword_differences(old: Arm, new: Arm) -> list[Difference]:
    """Differences other than those of nested schemas. If there are none, both accept the same values.

    The alternatives have one type, or are an integer and a number.
    """
    found = list(_values(old, new))
    if old.kind != new.kind:
        wider = new.kind == "number"
        found.append(Difference(Topic.TYPE, f"{old.kind} -> {new.kind}", restricts=not wider, extends=wider))
    if (old.values is None) is (new.values is None):
        found += [*_limits(old, new), *_formats(old.schema, new.schema)]
    return found


def is_within(narrow: Arm, wide: Arm) -> bool:
    """Whether every value of an alternative is one of another. False if that is not certain."""
    if wide.kind == "any":
        return True
    if narrow.kind in {"any", "array", "object"} or (narrow.kind != wide.kind and not _is_numeric(narrow, wide)):
        return False
    return not any(each.restricts for each in keyword_differences(narrow, wide))


def _is_numeric(old: Arm, new: Arm) -> bool:
    return {old.kind, new.kind} == {"integer", "number"}


def _values(old: Arm, new: Arm) -> Iterator[Difference]:
    if old.values is not None and new.values is not None:
        before, after = set(old.values), set(new.values)
        if removed := [value for value in old.values if value not in after]:
            yield Difference(Topic.VALUES, f"removed: {', '.join(removed)}", restricts=True)
        if added := [value for value in new.values if value not in before]:
            yield Difference(Topic.VALUES, f"added: {', '.join(added)}", extends=True)
    elif old.values is not None:
        lost = not all(_accepts(new, value) for value in old.values)
        yield Difference(Topic.VALUES, "no longer limited to an enumeration", restricts=lost, extends=True)
    elif new.values is not None:
        gained = not all(_accepts(old, value) for value in new.values)
        yield Difference(Topic.VALUES, f"limited to {', '.join(new.values)}", restricts=True, extends=gained)


def _accepts(arm: Arm, value: str) -> bool:
    """Whether an enumerated value is valid. False if that is not certain, as with patterns and formats."""
    if any(key in arm.schema for key in ("pattern", *_FORMATS)):
        return False
    only: Any = msgspec.json.decode(value)
    size = {"minLength": len(only), "maxLength": len(only)} if isinstance(only, str) else {}
    bounds = {"minimum": only, "maximum": only} if isinstance(only, int | float) else {}
    exact = Arm(arm.kind, {**size, **bounds} if not isinstance(only, bool) else {})
    step = arm.schema.get("multipleOf")
    if step is not None and Fraction(str(only)) % Fraction(str(step)):
        return False
    unstepped = replace(arm, schema={key: each for key, each in arm.schema.items() if key != "multipleOf"})
    return not any(each.restricts for each in _limits(exact, unstepped))


def _limits(old: Arm, new: Arm) -> Iterator[Difference]:
    lower = [(key, (old.schema.get(key, 0), False), (new.schema.get(key, 0), False)) for key in _LOWER]
    upper = [(key, (old.schema.get(key, inf), False), (new.schema.get(key, inf), False)) for key in _UPPER]
    lower.append(("minimum", _minimum(old), _minimum(new)))
    upper.append(("maximum", _maximum(old), _maximum(new)))
    for key, before, after in lower:
        if before != after:
            what = f"{key} {_shown(before)} -> {_shown(after)}"
            yield Difference(Topic.LIMIT, what, restricts=after > before, extends=after < before)
    for key, before, after in upper:
        if before != after:
            # Of two equal maxima, the exclusive one is the smaller.
            smaller = (after[0], not after[1]) < (before[0], not before[1])
            what = f"{key} {_shown(before)} -> {_shown(after)}"
            yield Difference(Topic.LIMIT, what, restricts=smaller, extends=not smaller)
    if (before := old.schema.get("uniqueItems", False)) is not (after := new.schema.get("uniqueItems", False)):
        yield Difference(Topic.LIMIT, f"uniqueItems {before} -> {after}", restricts=after, extends=before)
    yield from _steps(old.schema.get("multipleOf"), new.schema.get("multipleOf"))


def _minimum(arm: Arm) -> tuple[float, bool]:
    """The lowest value, and whether it is excluded. Of an integer none is."""
    inclusive, exclusive = arm.schema.get("minimum", -inf), arm.schema.get("exclusiveMinimum", -inf)
    value, excluded = max((inclusive, False), (exclusive, exclusive > -inf))
    if arm.kind == "integer" and value > -inf:
        return (floor(value) + 1 if excluded else ceil(value)), False
    return value, excluded


def _maximum(arm: Arm) -> tuple[float, bool]:
    inclusive, exclusive = arm.schema.get("maximum", inf), arm.schema.get("exclusiveMaximum", inf)
    value, excluded = (exclusive, True) if exclusive <= inclusive and exclusive < inf else (inclusive, False)
    if arm.kind == "integer" and value < inf:
        return (ceil(value) - 1 if excluded else floor(value)), False
    return value, excluded


def _shown(bound: tuple[float, bool]) -> str:
    value, excluded = bound
    if value in {inf, -inf}:
        return "none"
    return f"{value} (excluded)" if excluded else f"{value}"


def _steps(old: float | None, new: float | None) -> Iterator[Difference]:
    if old == new:
        return
    kept = new is None or (old is not None and not Fraction(str(old)) % Fraction(str(new)))
    within = old is None or (new is not None and not Fraction(str(new)) % Fraction(str(old)))
    what = f"multipleOf {old or 'none'} -> {new or 'none'}"
    yield Difference(Topic.LIMIT, what, restricts=not kept, extends=not within)


def _formats(old: Schema, new: Schema) -> Iterator[Difference]:
    """Differences of the form of text. A pattern that changes with its format is not named again."""
    restricts = extends = False
    for key in (*_FORMATS, "pattern"):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        topic = Topic.PATTERN if key == "pattern" else Topic.FORMAT
        difference = Difference(
            topic, f"{key} {before or 'none'} -> {after or 'none'}", after is not None, before is not None
        )
        told = difference.restricts <= restricts and difference.extends <= extends
        if key != "pattern" or not told:
            yield difference
        restricts, extends = restricts or difference.restricts, extends or difference.extends
