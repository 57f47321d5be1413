"""The changes as text, JSON and Markdown."""

import msgspec

from restwell._api._changes import Change, Level, merged
from restwell._api._report import as_changelog, as_comment, as_json, summary, title

BREAKING = Change(Level.BREAKING, "response, Product.price", "removed", "Clients fail.", "Keep it.", ("GET /a",))
SAFE = Change(Level.SAFE, "operation", "added", operations=("GET /b",))


def test_equal_changes_of_several_operations_are_one_and_the_most_severe_is_first() -> None:
    other = msgspec.structs.replace(BREAKING, operations=("GET /c",))
    first, second = merged([SAFE, BREAKING, other, BREAKING])
    assert (first.level, first.operations) == (Level.BREAKING, ("GET /a", "GET /c"))
    assert second == SAFE
    assert summary([first, second]) == "1 breaking, 0 risky, 1 safe"


def test_a_line_names_three_operations_and_the_json_has_all() -> None:
    paths = tuple(f"GET /{number}" for number in range(5))
    many = msgspec.structs.replace(BREAKING, operations=paths)
    assert title(many) == "GET /0, GET /1, GET /2, 2 more: response, Product.price: removed"
    decoded = msgspec.json.decode(as_json([many]))
    assert (decoded["breaking"], decoded["changes"][0]["operations"]) == (1, list(paths))
    whole = msgspec.structs.replace(many, operations=())
    assert title(whole) == "response, Product.price: removed"


def test_a_comment_says_what_breaks_and_what_to_do() -> None:
    assert as_comment([BREAKING, SAFE]) == (
        "**API changes:** 1 breaking, 0 risky, 1 safe\n\n"
        "- **breaking** `GET /a: response, Product.price: removed` Clients fail. Keep it.\n"
        "- **safe** `GET /b: operation: added`"
    )


def test_a_changelog_has_a_section_for_each_class_and_no_advice_to_developers() -> None:
    assert as_changelog([BREAKING, SAFE]) == (
        "### Breaking changes\n\n- `GET /a: response, Product.price: removed` Clients fail.\n\n"
        "### Compatible changes\n\n- `GET /b: operation: added`\n"
    )
    assert as_changelog([]) == "No changes of the API."


def test_text_of_a_document_is_neither_markdown_nor_a_command_to_a_terminal() -> None:
    """Breaks when a document that was fetched colours the terminal, or adds a link to a comment."""
    hostile = msgspec.structs.replace(SAFE, where="`[x](https://evil.example)` \x1b[31m\n")
    assert "\x1b" not in title(hostile)
    assert "\n" not in title(hostile)
    assert "`` GET /b: `[x](https://evil.example)`" in as_comment([hostile])
