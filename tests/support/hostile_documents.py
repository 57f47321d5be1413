"""Documents of GraphQL that exhaust a server without limits, of many kinds and each with another text."""

from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Final


def deep(number: int) -> str:
    return "{" + "books{nodes{author" * 20 + "{id}" + "}}" * 20 + f"}} # {number}"


def deep_inside_the_scan(number: int) -> str:
    levels = 12 + number % 3
    return "{books" + "{nodes{author" * (levels // 2) + "{id}" + "}}" * (levels // 2) + f"}} # {number}"


def aliases(number: int) -> str:
    return "{" + " ".join(f"a{number}x{each}: book(bookId: {each}) {{ id }}" for each in range(100)) + "}"


def repeated_fields(number: int) -> str:
    return f"{{ book(bookId: {number}) {{ {'id ' * 60} }} }}"


def many_repeated_fields(number: int) -> str:
    return f"{{ book(bookId: {number}) {{ {'id ' * 5_000} }} }}"


def circle_of_fragments(number: int) -> str:
    return f"{{ ...a{number} }} fragment a{number} on Query {{ ...b }} fragment b on Query {{ ...a{number} }}"


def doubling_fragments(number: int) -> str:
    links = [f"fragment f{each} on Query {{ ...f{each + 1} ...f{each + 1} }}" for each in range(12)]
    return f"query Q{number} {{ ...f0 }} {' '.join(links)} fragment f12 on Query {{ books {{ nodes {{ id }} }} }}"


def many_fragments(number: int) -> str:
    return f"query Q{number} {{ books {{ nodes {{ {'...f ' * 60} }} }} }} fragment f on Book {{ id }}"


def directives(number: int) -> str:
    return f"query Q{number} {{ books {'@include(if: true) ' * 60} {{ nodes {{ id }} }} }}"


def nested_arguments(number: int) -> str:
    return f"{{ guess(word: {'[' * 40}{number}{']' * 40}) }}"


def long_text(number: int) -> str:
    return f'{{ guess(word: "{number}{"x" * 25_000}") }}'


def many_tokens(number: int) -> str:
    return f"{{ book(bookId: {number}) {{ id }} }} " + "{ " * 3_000


def quotes(number: int) -> str:
    return f"{{ guess(word: {number}" + '"""\\' * 4_000


def unclosed(number: int) -> str:
    return f"query Q{number} {{ books {{ nodes {{ id text }} "


def unknown_field(number: int) -> str:
    return f"{{ books {{ nodes {{ id secret{number} }} }} }}"


AUTHORS: Final = "a: author { id } b: author { id } c: author { id } d: author { id } e: author { id }"


def expensive(number: int) -> str:
    return f"query Q{number} {{ books(first: 100) {{ nodes {{ {AUTHORS} }} }} }}"


def expensive_by_variable(number: int) -> str:
    return f"query Q{number}($n: Int = 100) {{ books(first: $n) {{ nodes {{ {AUTHORS} }} }} }}"


def several_mutations(number: int) -> str:
    return (
        "mutation {"
        + " ".join(f'a{each}x{number}: addReview(input: {{text: "a"}}) {{ id }}' for each in (1, 2, 3))
        + "}"
    )


def long_list(number: int) -> str:
    return f'mutation {{ addReview(input: {{text: "a", bookIds: [{"1 " * 440}], no{number}: 1}}) {{ id }} }}'


KINDS: Final[tuple[Callable[[int], str], ...]] = (
    deep,
    deep_inside_the_scan,
    aliases,
    repeated_fields,
    many_repeated_fields,
    circle_of_fragments,
    doubling_fragments,
    many_fragments,
    directives,
    nested_arguments,
    long_text,
    many_tokens,
    quotes,
    unclosed,
    unknown_field,
    expensive,
    expensive_by_variable,
    several_mutations,
    long_list,
)


def hostile_documents(count: int) -> Iterator[tuple[str, str]]:
    """The kind and the text of each."""
    for number, kind in enumerate(islice(cycle(KINDS), count)):
        yield kind.__name__, kind(number)
