"""Compares the schemas of requests and responses."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from restwell._api._arms import Arm, arms_of, discriminator_of, literal, resolve
from restwell._api._changes import Change, Direction
from restwell._api._documents import AnySchema, Schema, parse_instant
from restwell._api._keywords import keyword_differences
from restwell._api._matching import match
from restwell._api._rules import (
    ADDED_TO_CLOSED_RESPONSE,
    ADDED_TO_OPEN_REQUEST,
    DEFAULT_CHANGED,
    DISCRIMINATOR_CHANGED,
    FLAG_CHANGED,
    IGNORED_FIELD,
    REQUEST,
    SAFE,
    SUNSET_EARLIER,
    Difference,
    Rule,
    Topic,
    rule_of,
)

_Node = tuple[int, int, Direction]
"""Two schemas of the documents, by identity."""

_ANY: Final[Schema] = {}


@dataclass(frozen=True, slots=True)
class _Pair:
    old: AnySchema
    new: AnySchema
    direction: Direction
    where: str
    resolved: bool = False
    """What the references of a place point to. The annotations of the place were compared."""

    @property
    def node(self) -> _Node:
        return id(self.old), id(self.new), self.direction


@dataclass
class SchemaComparison:
    """Compares each pair of schemas once, however many operations refer to it. References may be recursive."""

    old_components: Mapping[str, Schema]
    new_components: Mapping[str, Schema]
    now: datetime
    _found: list[tuple[_Node, Change]] = field(default_factory=list)
    _referrers: dict[_Node, list[_Node | str]] = field(default_factory=dict)
    _pending: deque[_Pair] = field(default_factory=deque)

    def compare(self, old: Schema, new: Schema, direction: Direction, where: str, operation: str) -> None:
        self._add(_Pair(old, new, direction, where), operation)
        while self._pending:
            self._compare(self._pending.popleft())

    def changes(self) -> Iterator[Change]:
        operations: dict[_Node, tuple[str, ...]] = {}
        for node, change in self._found:
            if node not in operations:
                operations[node] = tuple(self._operations_of(node))
            yield Change(change.level, change.where, change.what, change.consequence, change.cure, operations[node])

    def _operations_of(self, node: _Node) -> Iterator[str]:
        seen, pending = {node}, [node]
        while pending:
            for referrer in self._referrers[pending.pop()]:
                if isinstance(referrer, str):
                    yield referrer
                elif referrer not in seen:
                    seen.add(referrer)
                    pending.append(referrer)

    def _add(self, pair: _Pair, referrer: _Node | str) -> None:
        if pair.node not in self._referrers:
            self._referrers[pair.node] = []
            self._pending.append(pair)
        self._referrers[pair.node].append(referrer)

    def _report(self, pair: _Pair, what: str, rule: Rule) -> None:
        change = Change(rule.level, f"{pair.direction}, {pair.where}", what, rule.consequence, rule.cure)
        self._found.append((pair.node, change))

    def _differ(self, pair: _Pair, differences: Iterator[Difference] | list[Difference]) -> None:
        for each in differences:
            self._report(pair, each.what, rule_of(each, pair.direction))

    def _compare(self, pair: _Pair) -> None:
        if not isinstance(pair.old, bool) and not isinstance(pair.new, bool) and not pair.resolved:
            old, _ = resolve(pair.old, self.old_components)
            new, name = resolve(pair.new, self.new_components)
            self._compare_annotations(pair, {**old, **pair.old}, {**new, **pair.new})
            if old is not pair.old or new is not pair.new:
                self._add(_Pair(old, new, pair.direction, name or pair.where, resolved=True), pair.node)
                return
        self._compare_arms(pair)

    def _compare_annotations(self, pair: _Pair, old: Schema, new: Schema) -> None:
        default, other = _shown(old, "default"), _shown(new, "default")
        if default != other:
            self._report(pair, f"default {default} -> {other}", DEFAULT_CHANGED[pair.direction])
        for flag in ("readOnly", "writeOnly"):
            before, after = bool(old.get(flag)), bool(new.get(flag))
            if before is not after:
                self._report(pair, f"{flag} {before} -> {after}", FLAG_CHANGED)
        for what, rule in lifecycle_changes(old, new):
            self._report(pair, what, rule)

    def _compare_arms(self, pair: _Pair) -> None:
        before, after = discriminator_of(pair.old), discriminator_of(pair.new)
        if before != after:
            what = f"discriminator {before or 'none'} -> {after or 'none'}"
            self._report(pair, what, DISCRIMINATOR_CHANGED)
        pairs, removed, added = match(arms_of(pair.old, self.old_components), arms_of(pair.new, self.new_components))
        for old, new in pairs:
            if old.schema is not pair.old:  # an alternative of a union
                self._compare_annotations(pair, old.annotations, new.annotations)
            if old.kind not in {"object", "array"}:
                self._differ(pair, keyword_differences(old, new))
            elif old.schema is pair.old and new.schema is pair.new:
                self._differ(pair, keyword_differences(old, new))
                (self._compare_objects if old.kind == "object" else self._compare_arrays)(pair, old.schema, new.schema)
            else:
                where = new.name or pair.where
                self._add(_Pair(old.schema, new.schema, pair.direction, where, resolved=True), pair.node)
        self._differ(pair, _variants(removed, added))

    def _compare_objects(self, pair: _Pair, old: Schema, new: Schema) -> None:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in {**before, **after}:
            at = _Pair(pair.old, pair.new, pair.direction, f"{pair.where}.{name}")
            if name in before and name in after:
                self._add(_Pair(before[name], after[name], pair.direction, at.where), pair.node)
                self._differ(at, _requirement(name, old, new))
            elif name in before:
                self._compare_removed(at, before[name], new)
            else:
                self._compare_added(at, after[name], old, required=name in new.get("required", ()))
        for name in sorted({*old.get("required", ()), *new.get("required", ())} - {*before, *after}):
            at = _Pair(pair.old, pair.new, pair.direction, f"{pair.where}.{name}")
            self._differ(at, _requirement(name, old, new))
        self._compare_other_fields(pair, old, new)

    def _compare_removed(self, at: _Pair, removed: Schema, new: Schema) -> None:
        if is_retired({**resolve(removed, self.old_components)[0], **removed}, self.now):
            self._report(at, "removed after its sunset date", SAFE)
            return
        difference = Difference(Topic.PRESENCE, "removed", restricts=True, extends=True)
        others = new.get("additionalProperties", True)
        ignored = at.direction is REQUEST and others is not False
        self._report(at, "removed", IGNORED_FIELD if ignored else rule_of(difference, at.direction))
        if ignored and others is not True:
            self._add(_Pair(removed, others, at.direction, at.where), at.node)

    def _compare_added(self, at: _Pair, added: Schema, old: Schema, *, required: bool) -> None:
        others = old.get("additionalProperties", True)
        by_pattern = "patternProperties" in old  # which the name may match
        if at.direction is REQUEST:
            if required:
                difference = Difference(Topic.REQUIRED, "required field added", restricts=True)
                self._report(at, difference.what, rule_of(difference, at.direction))
                return
            any_value = [arm.kind for arm in arms_of(added, self.new_components)] == ["any"]
            rule = ADDED_TO_OPEN_REQUEST if by_pattern or (others is True and not any_value) else SAFE
            self._report(at, "optional field added", rule)
        else:
            self._report(at, "field added", ADDED_TO_CLOSED_RESPONSE if by_pattern or others is False else SAFE)
        if not isinstance(others, bool):
            self._add(_Pair(others, added, at.direction, at.where), at.node)

    def _compare_other_fields(self, pair: _Pair, old: Schema, new: Schema) -> None:
        before, after = old.get("additionalProperties", True), new.get("additionalProperties", True)
        if before is not False and after is False:
            self._differ(pair, [Difference(Topic.OTHER_FIELDS, "refuses other fields now", restricts=True)])
        elif before is False and after is not False:
            self._differ(pair, [Difference(Topic.OTHER_FIELDS, "accepts other fields now", extends=True)])
        else:
            self._add_nested(pair, before, after, f"{pair.where}{{}}")
        first, second = old.get("patternProperties", {}), new.get("patternProperties", {})
        if first.keys() != second.keys():
            what = f"names of fields by {', '.join(first) or 'no pattern'} -> {', '.join(second) or 'no pattern'}"
            self._differ(pair, [Difference(Topic.OTHER_FIELDS, what, restricts=True, extends=True)])
        for pattern in sorted(first.keys() & second.keys()):
            self._add_nested(pair, first[pattern], second[pattern], f"{pair.where}{{{pattern}}}")
        names = old.get("propertyNames", _ANY), new.get("propertyNames", _ANY)
        self._add_nested(pair, *names, f"name in {pair.where}")

    def _compare_arrays(self, pair: _Pair, old: Schema, new: Schema) -> None:
        first, second = old.get("prefixItems", ()), new.get("prefixItems", ())
        before, after = old.get("items", True), new.get("items", True)
        for index in range(max(len(first), len(second))):
            one = first[index] if index < len(first) else before
            other = second[index] if index < len(second) else after
            self._add_nested(pair, one, other, f"{pair.where}[{index}]")
        self._add_nested(pair, before, after, f"{pair.where}[]")

    def _add_nested(self, pair: _Pair, old: AnySchema, new: AnySchema, where: str) -> None:
        if old is not new:  # two booleans may be the same
            self._add(_Pair(old, new, pair.direction, where), pair.node)


def is_retired(described: Mapping[str, Any], now: datetime) -> bool:
    """Whether something that is deprecated has reached its sunset date, so that it may be removed."""
    sunset = described.get("x-sunset")
    return bool(described.get("deprecated")) and sunset is not None and parse_instant(sunset) <= now


def lifecycle_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Rule]]:
    if bool(old.get("deprecated")) is not bool(new.get("deprecated")):
        yield "deprecated" if new.get("deprecated") else "no longer deprecated", SAFE
    before, after = old.get("x-sunset"), new.get("x-sunset")
    if before != after:
        earlier = before is not None and after is not None and parse_instant(after) < parse_instant(before)
        yield f"sunset {before or 'none'} -> {after or 'none'}", SUNSET_EARLIER if earlier else SAFE


def _shown(schema: Schema, key: str) -> str:
    return literal(schema[key]) if key in schema else "none"


def _requirement(name: str, old: Schema, new: Schema) -> Iterator[Difference]:
    before, after = name in old.get("required", ()), name in new.get("required", ())
    if before is not after:
        what = "required now" if after else "no longer required"
        yield Difference(Topic.REQUIRED, what, restricts=after, extends=before)


def _variants(removed: list[Arm], added: list[Arm]) -> Iterator[Difference]:
    """Alternatives that only one side has. One of each is a change of the type."""
    if [len(removed), len(added)] == [1, 1] and "null" not in {removed[0].kind, added[0].kind}:
        yield Difference(Topic.TYPE, f"type {removed[0]} -> {added[0]}", restricts=True, extends=True)
        return
    for arm in removed:
        topic = Topic.NULL if arm.kind == "null" else Topic.TYPE
        yield Difference(topic, f"{arm} no longer possible", restricts=True)
    for arm in added:
        topic = Topic.NULL if arm.kind == "null" else Topic.TYPE
        yield Difference(topic, f"{arm} possible now", extends=True)
