"""Attributes are read directly, and everything else by the library: with the same result."""

from typing import Any

import pytest
from graphql import ExecutionResult, execute, parse
from msgspec import Struct

from restwell import App
from restwell.graphql import GraphQLServer
from restwell.graphql._executor import AttributeExecutor
from restwell.graphql._schema import Execution
from restwell.graphql._types import Connection
from restwell.pages import Page


class Odd(Struct):
    id: Any = 1
    text: Any = "t"


@pytest.mark.parametrize(
    ("item", "selection", "calls"),
    [
        (Odd(), "id text x: id", 0),
        (Odd(text=None), "text id", 1),
        (Odd(text=5), "id text", 2),
        (Odd(text=[]), "text", 1),
        (Odd(id=None), "id", 1),
        (Odd(), "id __typename text", 3),
        (Odd(), "id @skip(if: true) text", 0),
    ],
)
def test_the_result_is_that_of_the_library(
    unstarted: App, monkeypatch: pytest.MonkeyPatch, item: Odd, selection: str, calls: int
) -> None:
    """Fails if null, a wrong value or the order of the fields differ. ``calls``: of the library for fields of a book.

    Fails too if a new version of the library does not call the method that is replaced.
    """
    schema = unstarted.service(GraphQLServer).schema
    fields = schema.query_type
    assert fields is not None
    monkeypatch.setattr(
        fields.fields["books"], "resolve", lambda *_: Connection(Page([item], None), has_previous=False)
    )
    document = parse(f"{{ books {{ nodes {{ {selection} }} }} }}")
    seen: list[str] = []
    original = AttributeExecutor.execute_field

    def count(self: Any, parent_type: Any, *rest: Any) -> Any:
        seen.append(parent_type.name)
        return original(self, parent_type, *rest)

    monkeypatch.setattr(AttributeExecutor, "execute_field", count)
    context: Any = Execution(None)  # type: ignore[arg-type]  # no resolver reads it
    ours, theirs = (
        execute(schema, document, context_value=context, executor_class=each) for each in (AttributeExecutor, None)
    )
    assert isinstance(ours, ExecutionResult)
    assert isinstance(theirs, ExecutionResult)
    assert ours.formatted == theirs.formatted
    assert seen.count("Book") == calls
