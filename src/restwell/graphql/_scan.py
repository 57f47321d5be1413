"""A look at the text of a document before it is parsed: the parser takes 5 µs for each token, and the scan 0.2."""

import re
from collections.abc import Sequence
from typing import Final

from restwell.graphql._errors import DocumentTooComplex, InvalidDocument
from restwell.graphql._fields import Limits

MAX_CHARS: Final = 20_000
MAX_BRACKETS: Final = 32
"""How deep brackets of any kind may be nested. The parser and the validation call themselves for each."""
MAX_DIRECTIVES: Final = 20
MAX_FRAGMENTS: Final = 30
"""Spreads and inline fragments. The validation compares each with each other."""

_OPENING: Final = frozenset("({[")
_CLOSING: Final = frozenset(")}]")

_tokens: Final = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"""|$)|"(?:[^"\\\n]|\\.)*+"?|#[^\n\r]*+|\.\.\.|[A-Za-z_]\w*+|-?[0-9][0-9.eE+-]*+|[^\s,\ufeff]',
    re.DOTALL,
).findall


def scan(text: str, limits: Limits) -> None:
    """Raises DocumentTooComplex for a text not worth parsing, and InvalidDocument if its brackets do not match."""
    if len(text) > MAX_CHARS:
        raise DocumentTooComplex(f"The document has more than {MAX_CHARS:,} characters.")
    found = [each for each in _tokens(text) if each[0] != "#"]
    _check("tokens", len(found), limits.tokens)
    _check("directives", found.count("@"), MAX_DIRECTIVES)
    _check("fragments", found.count("..."), MAX_FRAGMENTS)
    _check("aliases", _count_aliases(found), limits.aliases)


def _check(what: str, count: int, limit: int) -> None:
    if count > limit:
        raise DocumentTooComplex(f"The document has more than {limit:,} {what}.")


def _count_aliases(found: Sequence[str]) -> int:
    """The colons outside of parentheses. Checks the brackets."""
    nested = parentheses = aliases = 0
    for each in found:
        if each in _OPENING:
            nested += 1
            parentheses += each == "("
            if nested > MAX_BRACKETS:
                raise DocumentTooComplex("The document is nested too deeply.")
        elif each in _CLOSING:
            nested -= 1
            parentheses -= each == ")"
            if nested < 0:
                raise InvalidDocument(f"The document has a {each} too many.")
        elif each == ":":
            aliases += not parentheses
    if nested:
        raise InvalidDocument("The document has brackets that are not closed.")
    return aliases
