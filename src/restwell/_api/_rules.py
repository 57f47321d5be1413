"""What a change of a schema means for the clients that send it, and for those that read it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from restwell._api._changes import Change, Direction, Level

REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE


class Topic(StrEnum):
    VALUES = "values"
    LIMIT = "limit"
    PATTERN = "pattern"
    FORMAT = "format"
    NULL = "null"
    TYPE = "type"
    REQUIRED = "required"
    PRESENCE = "presence"
    OTHER_FIELDS = "other fields"


@dataclass(frozen=True, slots=True)
class Difference:
    """``restricts``: a value that was valid may be invalid. ``extends``: an invalid one may be valid. Or both."""

    topic: Topic
    what: str
    restricts: bool = False
    extends: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    level: Level
    consequence: str = ""
    cure: str = ""


SAFE: Final = Rule(Level.SAFE)


def rule_of(difference: Difference, direction: Direction) -> Rule:
    """Requests may only be extended, and responses only be restricted."""
    harmful = difference.restricts if direction is REQUEST else difference.extends
    return _HARMFUL[difference.topic, direction] if harmful else SAFE


def change(operation: str, where: str, what: str, rule: Rule) -> Change:
    return Change(rule.level, where, what, rule.consequence, rule.cure, (operation,))


def breaking(consequence: str, cure: str) -> Rule:
    return Rule(Level.BREAKING, consequence, cure)


def risky(consequence: str, cure: str) -> Rule:
    return Rule(Level.RISKY, consequence, cure)


_NEW_FIELD: Final = "Keep this field as it was, and add a field with another name beside it."
_AFTER_SUNSET: Final = "Keep it, announce its end with a sunset date, and remove it after that date."

_HARMFUL: Final = {
    (Topic.VALUES, REQUEST): breaking(
        "Requests with a value that was valid are refused.", "Keep accepting the value in this version."
    ),
    (Topic.VALUES, RESPONSE): risky(
        "Clients that know only the old values may fail when they read a new one.",
        "Send the new value only in a new version, or tell clients before to accept values that they do not know.",
    ),
    (Topic.LIMIT, REQUEST): breaking(
        "Requests within the old limit are refused.", "Keep the old limit in this version."
    ),
    (Topic.LIMIT, RESPONSE): risky(
        "Clients that rely on the old limit, such as the length of a column, may fail when they read the response.",
        "Keep the values within the old limit in this version, or tell clients before.",
    ),
    (Topic.PATTERN, REQUEST): breaking(
        "Requests with text that was valid are refused.", "Accept the text of the old pattern too."
    ),
    (Topic.PATTERN, RESPONSE): risky("Clients that parse the text by the old pattern may fail.", _NEW_FIELD),
    (Topic.FORMAT, REQUEST): breaking("Requests in the old format are refused.", "Accept both formats."),
    (Topic.FORMAT, RESPONSE): breaking("Clients that parse the old format fail when they read it.", _NEW_FIELD),
    (Topic.NULL, REQUEST): breaking("Requests with null are refused.", "Accept null, and treat it as before."),
    (Topic.NULL, RESPONSE): breaking("Clients that expect a value fail when they read null.", "Always send a value."),
    (Topic.TYPE, REQUEST): breaking("Requests with the old type are refused.", "Accept the old type too."),
    (Topic.TYPE, RESPONSE): breaking("Clients that expect the old type fail when they read it.", _NEW_FIELD),
    (Topic.REQUIRED, REQUEST): breaking(
        "Requests without it are refused.", "Make it optional, with a default that keeps the old behaviour."
    ),
    (Topic.REQUIRED, RESPONSE): breaking(
        "Clients that expect it in each response fail where it is absent.", "Always send it."
    ),
    (Topic.PRESENCE, REQUEST): breaking("Requests that contain it are refused.", _AFTER_SUNSET),
    (Topic.PRESENCE, RESPONSE): breaking("Clients that read it fail.", _AFTER_SUNSET),
    (Topic.OTHER_FIELDS, REQUEST): breaking(
        "Requests with fields that the schema does not name are refused.", "Ignore such fields in this version."
    ),
    (Topic.OTHER_FIELDS, RESPONSE): risky(
        "Clients that refuse fields they do not know may fail when they read the response.",
        "Keep the response closed in this version, or tell clients before.",
    ),
}

IGNORED_FIELD: Final = risky("Requests that contain it succeed, but it has no effect.", _AFTER_SUNSET)
ADDED_TO_OPEN_REQUEST: Final = risky(
    "Requests in which a client sends another value under this name were valid, and may be refused.",
    "Forbid unknown fields in requests, so that no client sends such fields.",
)
ADDED_TO_CLOSED_RESPONSE: Final = _HARMFUL[Topic.OTHER_FIELDS, RESPONSE]
DEFAULT_CHANGED: Final = {
    REQUEST: risky("Requests without it have another effect.", "Keep the default in this version."),
    RESPONSE: risky("Clients that assume the old default where it is absent are wrong.", "Always send it."),
}
FLAG_CHANGED: Final = risky(
    "Clients that are generated again send or read it where they did not, or no more.", "Keep the flag."
)
SUNSET_EARLIER: Final = risky("Clients that planned with the old date fail before it.", "Keep the date.")
DISCRIMINATOR_CHANGED: Final = breaking(
    "Clients that choose the variant by the old property fail.", "Keep the property in this version."
)
