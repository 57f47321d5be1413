"""No change of a contract passes unseen, and each kind has its class: mutants of real documents."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

import accounts_app
from contract_mutants import all_mutants, assert_each_kind_has_its_class, leave_out_code_lists
from mutants import operations_of, sampled
from restwell import App
from restwell._api._changes import Change, Level
from restwell._api._documents import faults_of
from restwell._api._operations import compare_documents
from restwell.settings import Settings
from tiny.app import project as tiny

NOW = datetime(2026, 6, 1, tzinfo=UTC)
Json = dict[str, Any]


def document_of(app: App) -> Json:
    document: Json = msgspec.json.decode(msgspec.json.encode(app.openapi))
    return document


DOCUMENTS = {
    "accounts": document_of(accounts_app.create_app(Settings())),
    "tiny": document_of(tiny.create_app(tiny.settings())),
}


def copy_of(document: Json) -> Json:
    copy: Json = msgspec.json.decode(msgspec.json.encode(document))
    return copy


def changes_of(old: Json, new: Json) -> list[Change]:
    assert list(faults_of(new)) == []
    return compare_documents(old, new, NOW)


@pytest.mark.slow
@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_kind_of_mutant_has_its_class(name: str) -> None:
    """Breaks when a rule of requests is used for responses, or when a keyword, a status or a scheme is not compared."""
    assert_each_kind_has_its_class(copy_of(DOCUMENTS[name]), per_kind=3, kinds=65)


def test_every_class_is_met_by_many_kinds() -> None:
    kinds = {mutant.kind: mutant.level for mutant in all_mutants(copy_of(DOCUMENTS["accounts"]))}
    counts = Counter(kinds.values())
    assert all(counts[level] >= 10 for level in Level)


def test_a_document_does_not_differ_from_itself() -> None:
    for document in DOCUMENTS.values():
        assert changes_of(document, copy_of(document)) == []


@pytest.mark.parametrize(("sunset", "level"), [("2026-05-31", Level.SAFE), ("2026-06-02", Level.BREAKING)])
def test_what_is_deprecated_is_removed_after_its_sunset_only(sunset: str, level: Level) -> None:
    old = copy_of(DOCUMENTS["accounts"])
    retired = {"deprecated": True, "x-sunset": sunset}
    label, item, method, operation = next(operations_of(old))
    operation |= retired
    old["components"]["schemas"]["Problem"]["properties"]["extra"] = {"type": "string", **retired}
    parameter = {"name": "old", "in": "query", "schema": {"type": "string"}, **retired}
    other = next(found for other, _, _, found in operations_of(old) if other != label)
    kept = other["parameters"]
    other["parameters"] = [*kept, parameter]
    assert list(faults_of(old)) == []
    new = copy_of(old)
    path = label.partition(" ")[2]
    del new["paths"][path][method], new["components"]["schemas"]["Problem"]["properties"]["extra"]
    next(found for each, _, _, found in operations_of(new) if found["operationId"] == other["operationId"])[
        "parameters"
    ] = kept
    changes = changes_of(old, new)
    assert item is old["paths"][path]
    assert {change.level for change in changes} == {level}
    assert len(changes) >= 3


def test_one_change_of_a_shared_schema_is_one_change_of_all_its_operations() -> None:
    new = copy_of(DOCUMENTS["tiny"])
    del new["components"]["schemas"]["Problem"]["properties"]["detail"]
    (change,) = changes_of(DOCUMENTS["tiny"], new)
    assert set(change.operations) == {label for label, _, _, _ in operations_of(new)}
    assert (change.where, change.what) == ("response, Problem.detail", "removed")


@pytest.mark.slow
def test_each_breaking_change_says_what_breaks_and_what_to_do() -> None:
    new = copy_of(DOCUMENTS["tiny"])
    leave_out_code_lists(new)
    for mutant in sampled(all_mutants(new), per_kind=1):
        with mutant.applied():
            for change in changes_of(DOCUMENTS["tiny"], new):
                told = change.consequence.endswith(".") and change.cure.endswith(".")
                assert told is (change.level is not Level.SAFE), change


def test_the_name_of_a_path_parameter_is_a_name_of_generated_clients_only() -> None:
    new = copy_of(DOCUMENTS["accounts"])
    path = next(path for path in new["paths"] if "{" in path)
    item = new["paths"].pop(path)
    name = path.partition("{")[2].partition("}")[0]
    new["paths"][path.replace(f"{{{name}}}", "{renamed}")] = item
    for operation in item.values():
        for parameter in operation["parameters"]:
            parameter["name"] = "renamed" if parameter["name"] == name else parameter["name"]
    changes = changes_of(DOCUMENTS["accounts"], new)
    assert {(change.level, change.where) for change in changes} == {(Level.RISKY, "names in the path")}


def test_a_security_scheme_with_another_name_is_the_same_scheme() -> None:
    new = copy_of(DOCUMENTS["accounts"])
    schemes = new["components"]["securitySchemes"]
    schemes["bearer"] = schemes.pop("access_token")
    for _, _, _, operation in operations_of(new):
        operation["security"] = [
            {"bearer" if name == "access_token" else name: scopes for name, scopes in each.items()}
            for each in operation["security"]
        ]
    assert changes_of(DOCUMENTS["accounts"], new) == []


def test_an_optional_body_is_safe_to_add() -> None:
    operation: Json = {"responses": {"204": {}}}
    body = {"content": {"application/json": {"schema": {"type": "string"}}}}
    documents = (
        {"openapi": "3.1.0", "paths": {"/a": {"post": each}}}
        for each in (operation, {**operation, "requestBody": body})
    )
    (change,) = changes_of(*documents)
    assert (change.level, change.what) == (Level.SAFE, "optional body added")


def test_without_components_a_document_is_compared_too() -> None:
    old: Json = {"openapi": "3.1.0", "info": {}, "paths": {"/a": {"get": {"responses": {"204": {}}}}}}
    new: Json = {**old, "paths": {}}
    (change,) = changes_of(old, new)
    assert (change.level, change.what, change.operations) == (Level.BREAKING, "removed", ("GET /a",))
