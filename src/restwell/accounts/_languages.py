"""The languages of emails, and which of them a client prefers."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from restwell.accounts._emails import AccountEmails

MAX_HEADER_CHARS: Final = 1_000
"""The rest of a longer Accept-Language is ignored."""

_is_tag: Final = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*").fullmatch
_parse_range: Final = re.compile(
    r"(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)[ \t]*(?:;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
).fullmatch


class Languages:
    """The texts of each language that the application offers, by its tag (BCP 47). The first is the default."""

    def __init__(self, emails: AccountEmails | Mapping[str, AccountEmails]) -> None:
        self._texts = {"en": emails} if isinstance(emails, AccountEmails) else dict(emails)
        self.tags = tuple(self._texts)
        if not self.tags or not all(isinstance(each, AccountEmails) for each in self._texts.values()):
            raise TypeError("Accounts: emails must be AccountEmails, or AccountEmails by language tag")
        if not all(map(_is_tag, self.tags)) or len({tag.lower() for tag in self.tags}) < len(self.tags):
            raise TypeError(f"Accounts: emails must have different language tags (BCP 47), not {', '.join(self.tags)}")

    @property
    def are_several(self) -> bool:
        return len(self.tags) > 1

    @property
    def type(self) -> Any:
        """The type of an offered tag."""
        return Literal[self.tags]

    def find(self, tag: str | None) -> str:
        """The tag, or the default if it is not offered."""
        return tag if tag in self._texts else self.tags[0]

    def texts(self, tag: str) -> AccountEmails:
        return self._texts[self.find(tag)]


def preferred(accept_language: str, tags: Sequence[str]) -> str:
    """The tag that an Accept-Language header prefers: lookup of RFC 4647, section 3.4, by weight (RFC 9110, 12.5.4).

    A range also matches less specific tags: ``de-AT`` matches ``de``. Without a match, the first tag that the header
    does not exclude, or else the first. Invalid ranges are ignored.
    """
    weights = dict(_ranges(accept_language[:MAX_HEADER_CHARS]))
    accepted = {tag.lower(): tag for tag in tags if _weight(tag.lower(), weights) > 0}
    for wanted in sorted(weights, key=lambda each: -weights[each]):
        for candidate in _fallbacks(wanted):
            if weights[wanted] > 0 and candidate in accepted:
                return accepted[candidate]
    return next(iter(accepted.values()), tags[0])


def _ranges(header: str) -> Iterator[tuple[str, float]]:
    for part in header.split(","):
        parsed = _parse_range(part.strip(" \t"))
        if parsed is not None:
            yield parsed[1].lower(), float(parsed[2] or 1)


def _weight(tag: str, weights: Mapping[str, float]) -> float:
    """The weight of the most specific range of a tag. A tag that no range mentions is not excluded."""
    return next((weights[each] for each in (*_fallbacks(tag), "*") if each in weights), 1.0)


def _fallbacks(tag: str) -> Iterator[str]:
    """The tag, and then without its last subtags. A subtag of one character introduces the next: both are removed."""
    subtags = tag.split("-")
    while subtags:
        yield "-".join(subtags)
        subtags.pop()
        if subtags and len(subtags[-1]) == 1:
            subtags.pop()
