"""Writes changes as text, JSON and Markdown."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from restwell._api._changes import LEVELS, Change, Level

MAX_OPERATIONS: Final = 3
"""Operations named in a line. The JSON has all."""

_HEADINGS: Final = {
    Level.BREAKING: "Breaking changes",
    Level.RISKY: "Changes that some clients notice",
    Level.SAFE: "Compatible changes",
}


def counts(changes: Iterable[Change]) -> dict[str, int]:
    levels = [change.level for change in changes]
    return {str(level): levels.count(level) for level in LEVELS}


def summary(changes: Iterable[Change]) -> str:
    return ", ".join(f"{count} {level}" for level, count in counts(changes).items())


def title(change: Change) -> str:
    """What changed, and where. Control characters of a document are replaced: they may be commands to a terminal."""
    text = f"{_operations(change)}{change.where}: {change.what}"
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def as_json(changes: Sequence[Change]) -> bytes:
    return msgspec.json.format(msgspec.json.encode({**counts(changes), "changes": changes}), indent=2)


def as_comment(changes: Sequence[Change]) -> str:
    """Markdown for a comment on a change: what breaks whom, and what to do."""
    lines = [f"**API changes:** {summary(changes)}", ""]
    for change in changes:
        advice = " ".join(filter(None, (change.consequence, change.cure)))
        lines.append(f"- **{change.level}** {_code(title(change))}{f' {advice}' if advice else ''}")
    return "\n".join(lines)


def as_changelog(changes: Sequence[Change]) -> str:
    """Markdown for the users of the API."""
    return "\n".join(_changelog(changes)) or "No changes of the API."


def _changelog(changes: Sequence[Change]) -> Iterator[str]:
    for level in LEVELS:
        found = [change for change in changes if change.level is level]
        if found:
            yield from (f"### {_HEADINGS[level]}", "")
            yield from (
                f"- {_code(title(change))}{f' {change.consequence}' if change.consequence else ''}" for change in found
            )
            yield ""


def _operations(change: Change) -> str:
    shown = change.operations[:MAX_OPERATIONS]
    more = len(change.operations) - len(shown)
    listed = ", ".join((*shown, f"{more} more")) if more else ", ".join(shown)
    return f"{listed}: " if listed else ""


def _code(text: str) -> str:
    """A code span. Text of a document is not interpreted as Markdown."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"`{text}`"
