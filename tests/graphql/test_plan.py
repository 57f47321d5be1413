"""The plan of a document: its cost with variables, its depth, and the operations that it calls."""

from typing import Any

import pytest
from graphql import parse

from cases import each
from restwell import App
from restwell.errors import AppError
from restwell.graphql import GraphQLServer, Limits
from restwell.graphql._plan import Plan, make_plans


def plan_of(app: App, text: str, **limits: int) -> Plan:
    server = app.service(GraphQLServer)
    (plan,) = make_plans(server.schema, parse(text), Limits(**limits), introspection=False).values()
    return plan


@each(
    ("text", "variables", "cost"),
    [
        ("{ book(bookId: 1) { id } }", {}, 1),
        ("{ book(bookId: 1) { author { id } } }", {}, 2),
        ("{ books { nodes { id } } }", {}, 20),
        ("{ books(first: 3) { nodes { id } } }", {}, 3),
        ("{ books(first: 3) { nodes { author { id } } } }", {}, 6),
        ("{ books(first: 3) { edges { node { author { id } } } pageInfo { endCursor } } }", {}, 6),
        (
            "{ books(first: 3) { ...f } } fragment f on BookConnection { nodes { a: author { id } author { id } } }",
            {},
            9,
        ),
        ("query($n: Int) { books(first: $n) { nodes { id } } }", {"n": 7}, 7),
        ("query($n: Int) { books(first: $n) { nodes { id } } }", {"n": None}, 20),
        ("query($n: Int = 50) { books(first: $n) { nodes { id } } }", {}, 50),
        ("query($n: Int = 50) { books(first: $n) { nodes { id } } }", {"n": 10**30}, 100),
        ("{ books(first: 99999999999999999999) { nodes { id } } }", {}, 100),
        ('{ books(first: -5) { nodes { id } } guess(word: "a") }', {}, 20),
        ("{ __typename }", {}, 0),
    ],
)
async def test_the_cost_is_the_largest_number_of_objects(
    unstarted: App, text: str, variables: dict[str, Any], cost: int
) -> None:
    """Fails if the default of a variable, a fragment or the size of a page is not counted."""
    assert sum(each for _, each in plan_of(unstarted, text).costs(variables)) == cost


def test_a_plan_has_each_operation_and_each_guard_once(unstarted: App) -> None:
    """Fails if a field without a selection, as a scalar with guards, is left out."""
    plan = plan_of(unstarted, '{ books { nodes { reader ... on Book { author { id } } } } guess(word: "a") }')
    assert sorted(each.name for each in plan.operations) == ["Book.author", "Book.reader", "books", "guess"]
    assert len(plan.guards) == 1


@each(
    ("text", "code", "message"),
    [
        ("{ books { nodes { author { id } } } }", "document_too_complex", "below more than 3 others"),
        ("{ ...f } fragment f on Query { books { nodes { author { id } } } }", "document_too_complex", "below more"),
        ("{ a: guess b: guess c: guess }", "document_too_complex", "more than 2 aliases or repeated fields"),
        ("{ guess guess guess guess }", "document_too_complex", "more than 2 aliases or repeated fields"),
        ("{ ...f } fragment f on Query { ...g } fragment g on Query { ...f }", "invalid_document", "contains itself"),
        ("{ ...f }", "invalid_document", "is not defined"),
        ("{ nothing }", "invalid_document", "Query has no field nothing"),
        ("{ books { nodes { text { a } } } }", "invalid_document", "String has no field a"),
        ("{ ... on Nothing { nothing } }", "invalid_document", "Query has no field nothing"),
        ("mutation { addReview { id } b: addReview { id } }", "invalid_document", "a request of its own"),
        ("mutation { __typename }", "invalid_document", "a request of its own"),
        ("subscription { a }", "invalid_document", "The schema has no subscription"),
        ("fragment f on Query { a }", "invalid_document", "no operation"),
        ("{ __schema { types { name } } }", "introspection_disabled", "does not describe"),
        ('{ ...f } fragment f on Query { __type(name: "Book") { name } }', "introspection_disabled", "does not"),
    ],
)
async def test_documents_beyond_a_limit_are_refused(unstarted: App, text: str, code: str, message: str) -> None:
    """Fails if a limit does not hold inside of fragments."""
    with pytest.raises(AppError) as raised:
        plan_of(unstarted, text, depth=3, aliases=2)
    assert (raised.value.code, message in raised.value.detail) == (code, True)


def test_fragments_that_double_are_refused(unstarted: App) -> None:
    """Fails if fragments are expanded without a limit: 2**20 fields."""
    links = " ".join(f"fragment f{each} on Query {{ ...f{each + 1} ...f{each + 1} }}" for each in range(20))
    with pytest.raises(AppError, match="too many fields"):
        plan_of(unstarted, f"{{ ...f0 }} {links} fragment f20 on Query {{ books {{ nodes {{ id }} }} }}")
