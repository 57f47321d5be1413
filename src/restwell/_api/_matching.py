"""Which alternative of an old schema became which of the new one."""

from collections.abc import Callable
from typing import Any, Final

from restwell._api._arms import Arm
from restwell._api._keywords import is_within

_NUMERIC: Final = {"integer", "number"}


def match(old: list[Arm], new: list[Arm]) -> tuple[list[tuple[Arm, Arm]], list[Arm], list[Arm]]:
    """The matched alternatives, and those that only one side has and that are in none of the other side.

    The result of the comparison does not depend on what is matched, only its sentences do.
    """
    pairs: list[tuple[Arm, Arm]] = []
    rest_of_old, rest_of_new = old, new
    for key in (_exactly, _by_tag_or_name, _by_type, _by_number):
        found = _equal(rest_of_old, rest_of_new, key)
        matched = {id(arm) for pair in found for arm in pair}
        rest_of_old = [arm for arm in rest_of_old if id(arm) not in matched]
        rest_of_new = [arm for arm in rest_of_new if id(arm) not in matched]
        pairs += found
    removed = [arm for arm in rest_of_old if not any(is_within(arm, other) for other in new)]
    added = [arm for arm in rest_of_new if not any(is_within(arm, other) for other in old)]
    return pairs, removed, added


def _equal(old: list[Arm], new: list[Arm], key: Callable[[Arm], Any]) -> list[tuple[Arm, Arm]]:
    """Those with equal keys, in order. A key of None equals no other."""
    by_key: dict[Any, list[Arm]] = {}
    for arm in reversed(new):
        by_key.setdefault(key(arm), []).append(arm)
    pairs = []
    for arm in old:
        wanted = key(arm)
        if wanted is not None and by_key.get(wanted):
            pairs.append((arm, by_key[wanted].pop()))
    return pairs


def _exactly(arm: Arm) -> Any:
    return arm.kind, arm.tag, arm.name, arm.values, arm.schema.get("format")


def _by_tag_or_name(arm: Arm) -> Any:
    return (arm.kind, arm.tag, "" if arm.tag else arm.name) if arm.tag or arm.name else None


def _by_type(arm: Arm) -> Any:
    """Alternatives with a tag are others if their tags differ."""
    return None if arm.tag else arm.kind


def _by_number(arm: Arm) -> Any:
    return "number" if arm.kind in _NUMERIC else None
