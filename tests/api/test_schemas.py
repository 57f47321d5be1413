"""A schema change that is called safe keeps each valid value valid: the oracle is a validator of JSON Schema."""

import os
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mutants import severity
from restwell._api._changes import Change, Direction, Level
from restwell._api._schemas import SchemaComparison
from schema_pairs import SCALARS, SchemaPair, scalar_pairs, schema_pairs, values

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "200"))
NOW = datetime(2026, 6, 1, tzinfo=UTC)
Json = dict[str, Any]
NONE: Json = {}


def changes_of(
    old: Json, new: Json, direction: Direction, old_components: Json = NONE, new_components: Json = NONE
) -> list[Change]:
    comparison = SchemaComparison(old_components, new_components, NOW)
    comparison.compare(old, new, direction, "body", "POST /things")
    return list(comparison.changes())


def test_each_place_of_a_tuple_is_compared() -> None:
    """Breaks when only the first place is compared, and when places beyond the tuple have no schema."""
    text, number = {"type": "string"}, {"type": "integer"}
    old = {"type": "array", "prefixItems": [text, text], "items": False}
    for new in ({**old, "prefixItems": [text, number]}, {**old, "prefixItems": [text]}):
        assert [change.level for change in changes_of(old, new, Direction.REQUEST)] == [Level.BREAKING]
    longer = {**old, "prefixItems": [text, text, number]}
    assert [change.level for change in changes_of(old, longer, Direction.REQUEST)] == [Level.SAFE]
    assert [change.level for change in changes_of(old, longer, Direction.RESPONSE)] == [Level.BREAKING]


def test_recursive_schemas_are_compared_once_however_their_components_are_named() -> None:
    """Breaks without the memory of compared pairs: the comparison does not end."""

    def tree(name: str, kind: str) -> Json:
        ref = {"$ref": f"#/components/schemas/{name}"}
        properties = {"value": {"type": kind}, "inner": {"type": "array", "items": ref}, "next": {"anyOf": [ref, {}]}}
        return {name: {"type": "object", "properties": properties}}

    old, new = {"$ref": "#/components/schemas/Tree"}, {"$ref": "#/components/schemas/Node"}
    assert changes_of(old, new, Direction.RESPONSE, tree("Tree", "string"), tree("Node", "string")) == []
    (change,) = changes_of(old, new, Direction.RESPONSE, tree("Tree", "string"), tree("Node", "integer"))
    assert (change.where, change.what) == ("response, Node.value", "type string -> integer")


@pytest.mark.slow
def test_each_pair_of_schemas_is_compared_once_and_a_long_chain_of_references_ends() -> None:
    """Each component refers twice to the next one: breaks when the pairs are compared per reference, or recursively."""
    count = 3_000

    def chain(kind: str) -> Json:
        last = {"type": "object", "properties": {"end": {"type": kind}}}
        refs = [{"$ref": f"#/components/schemas/C{number + 1}"} for number in range(count)]
        both = [{"type": "object", "properties": {"a": ref, "b": {"anyOf": [ref, {"type": "null"}]}}} for ref in refs]
        return {f"C{number}": schema for number, schema in enumerate([*both, last])}

    first = {"$ref": "#/components/schemas/C0"}
    comparison = SchemaComparison(chain("string"), chain("integer"), NOW)
    comparison.compare(first, first, Direction.RESPONSE, "body", "GET /a")
    (change,) = comparison.changes()
    assert (change.where, change.operations) == (f"response, C{count}.end", ("GET /a",))
    assert len(comparison._referrers) <= 6 * count


def test_fields_by_pattern_are_compared() -> None:
    """As of a dict of Pydantic whose keys have a pattern. Breaks when a pattern that is added is called safe."""
    by_a: Json = {"type": "object", "patternProperties": {"^a": {"type": "string"}}}
    for new, level in (
        ({**by_a, "patternProperties": {"^a": {"type": "integer"}}}, Level.BREAKING),
        ({**by_a, "patternProperties": {"^b": {"type": "string"}}}, Level.BREAKING),
        ({"type": "object"}, Level.BREAKING),
        ({**by_a, "properties": {"ab": {"type": "string"}}}, Level.RISKY),
        (by_a, None),
    ):
        assert severity(changes_of(by_a, new, Direction.REQUEST)) is level


def test_a_change_of_a_map_names_its_values() -> None:
    old = {"type": "object", "additionalProperties": {"type": "string", "maxLength": 5}}
    new = {"type": "object", "additionalProperties": {"type": "string", "maxLength": 4}}
    (change,) = changes_of(old, new, Direction.REQUEST)
    assert (change.level, change.where) == (Level.BREAKING, "request, body{}")


@pytest.mark.parametrize(
    ("others", "request_level", "response_level"),
    [({"type": "string"}, Level.RISKY, Level.BREAKING), ({"type": "integer"}, Level.BREAKING, Level.BREAKING)],
)
def test_a_removed_field_becomes_one_of_the_other_fields(
    others: Json, request_level: Level, response_level: Level
) -> None:
    """Breaks when a field that is still accepted, but as another type, is only called ignored."""
    new = {"type": "object", "additionalProperties": others}
    old = {**new, "properties": {"a": {"type": "string"}}}
    assert severity(changes_of(old, new, Direction.REQUEST)) is request_level
    assert severity(changes_of(old, new, Direction.RESPONSE)) is response_level


@pytest.mark.parametrize(
    ("added", "request_level", "response_level"),
    [
        ({"type": "string"}, Level.SAFE, Level.SAFE),
        ({"type": "string", "maxLength": 5}, Level.BREAKING, Level.SAFE),
        ({}, Level.SAFE, Level.BREAKING),
    ],
)
def test_an_added_field_was_one_of_the_other_fields(added: Json, request_level: Level, response_level: Level) -> None:
    old = {"type": "object", "additionalProperties": {"type": "string"}}
    new = {**old, "properties": {"a": added}}
    assert severity(changes_of(old, new, Direction.REQUEST)) is request_level
    assert severity(changes_of(old, new, Direction.RESPONSE)) is response_level


def valid(schema: Json, components: Json, value: Any) -> bool:
    whole = {**schema, "components": {"schemas": components}}
    validator = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return bool(validator.is_valid(value))


@pytest.mark.slow
@given(data=st.data(), pair=schema_pairs())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_was_valid_stays_valid_if_every_change_is_safe(data: st.DataObject, pair: SchemaPair) -> None:
    """Each valid request of the old schema is one of the new; each response of the new schema is one of the old.

    Seen to fail with the directions exchanged, with maxima compared as minima, without the keyword uniqueItems,
    without the schema of other fields, and with an alternative that was removed not told.
    """
    old, new = (pair.old, pair.old_components), (pair.new, pair.new_components)
    chosen = [data.draw(values(*side)) for side in (old, new) for _ in range(3)]
    for direction in Direction:
        changes = changes_of(pair.old, pair.new, direction, pair.old_components, pair.new_components)
        if all(change.level is Level.SAFE for change in changes):
            narrow, wide = (old, new) if direction is Direction.REQUEST else (new, old)
            for value in chosen:
                assert not valid(*narrow, value) or valid(*wide, value), f"{direction} {value!r} of {changes}"


@pytest.mark.slow
@given(pair=scalar_pairs())
@settings(max_examples=4 * EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_each_value_near_a_limit_stays_valid_if_every_change_is_safe(pair: tuple[Json, Json]) -> None:
    """Seen to fail with an enumeration that becomes any text, and a number that becomes an integer, called safe."""
    for direction in Direction:
        changes = changes_of(*pair, direction)
        if all(change.level is Level.SAFE for change in changes):
            narrow, wide = pair if direction is Direction.REQUEST else reversed(pair)
            broken = [value for value in SCALARS if valid(narrow, {}, value) and not valid(wide, {}, value)]
            assert not broken, f"{direction} {broken} of {changes}"
