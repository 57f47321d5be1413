"""Fields of ``restwell generate resource``, such as ``rating:int:1..5``, as the code that declares them."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from keyword import iskeyword
from typing import Final

from msgspec import Struct

from restwell.database._schema_code import sql_name
from restwell.errors import ConfigurationError

NAME: Final = re.compile(r"(?=.{1,25}$)[a-z][a-z0-9]*(_[a-z0-9]+)*")
TYPES: Final = {
    "bool": ("bool", "Flag"),
    "date": ("date", "Date"),
    "datetime": ("Instant", "Timestamp"),
    "decimal": ("Decimal", "FixedPoint"),
    "enum": ("", "Text"),
    "float": ("float", "Float"),
    "int": ("int", "Integer"),
    "ref": ("UUID", "Id"),
    "text": ("str", "Text"),
    "uuid": ("UUID", "Id"),
}
"""For each type that of the Struct, and that of the column."""
_SAMPLES: Final = {
    "bool": ("True", "False"),
    "date": ('"2026-12-01"', '"2026-12-24"'),
    "datetime": ('"2026-12-01T09:30:00Z"', '"2026-12-24T16:00:00Z"'),
    "uuid": ('"0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"', '"0192f0c1-2a3b-7c4d-8e5f-60718293a4b6"'),
}
_INT32: Final = (-(2**31), 2**31 - 1)
_INT64: Final = (-(2**63), 2**63 - 1)
_POWERS: Final[Mapping[float, str]] = {
    _INT32[0]: "-(2**31)",
    _INT32[1]: "2**31 - 1",
    _INT64[0]: "-(2**63)",
    _INT64[1]: "2**63 - 1",
}
_USED: Final = {"bool", "date", "float", "int", "str", "match_id", "match_user_id", "query", "self"}
"""A field with a default hides the type of this name from the fields after it. The others are names of arguments."""
_SCHEMAS: Final = {"filter", "request"}
"""The type of an enum of this name would have the name of a Struct."""
_TAKEN: Final = {"id", "version", "created_at", "user_id"}


class Field(Struct, frozen=True):
    """``bounds`` are those of a range. ``digits`` are those of a decimal: all of them, and those after the point.
    ``table`` is the one that a reference refers to, and ``helper`` the function of its tests that adds a row.
    """

    name: str
    kind: str
    is_optional: bool
    values: tuple[str, ...] = ()
    bounds: tuple[float | None, float | None] = (None, None)
    digits: tuple[int, int] = (0, 0)
    table: str = ""
    helper: str = ""

    def column(self, table: str) -> str:
        """The Column of SQLAlchemy."""
        kind = "BigInteger" if self.kind == "int" and not _fits(self.bounds, _INT32) else TYPES[self.kind][1]
        if self.kind == "decimal":
            kind += str(self.digits)
        items = [quoted(self.name), kind]
        if self.kind == "ref":
            action = "SET NULL" if self.is_optional else "CASCADE"
            items.append(f'ForeignKey("{self.table}.id", ondelete="{action}")')
        if condition := self._condition():
            items.append(f'CheckConstraint({quoted(condition)}, name="{table}_{self.name}")')
        return f"Column({', '.join([*items, *([] if self.is_optional else ['nullable=False'])])})"

    def _condition(self) -> str:
        low, high = self.bounds
        name = sql_name(self.name)
        if self.kind == "enum":
            return "{} IN ('{}')".format(name, "', '".join(self.values))
        if self.kind == "text" or (low is None and high is None):
            return ""
        if low is not None and high is not None:
            return f"{name} BETWEEN {low} AND {high}"
        return f"{name} >= {low}" if high is None else f"{name} <= {high}"

    def shown(self, resource: str) -> str:
        """The field of what clients get."""
        return f"{self.name}: {self._type(resource)}{' | None' if self.is_optional else ''}"

    def requested(self, resource: str) -> str:
        """The field of what clients send, with its limits."""
        low, high = self.bounds
        kind = (
            ("MultiLineText" if self.bounds == (None, None) else "PlainText")
            if self.kind == "text"
            else self._type(resource)
        )
        limits = []
        if self.kind == "text":
            limits = [("min_length", low), ("max_length", high)]
        elif self.kind == "int":
            least, most = _INT32 if _fits(self.bounds, _INT32) else _INT64
            limits = [("ge", least if low is None else low), ("le", most if high is None else high)]
        elif self.kind == "float":
            limits = [("ge", low), ("le", high)]
        given = ", ".join(f"{name}={_literal(value)}" for name, value in limits if value is not None)
        if given:
            kind = f"Annotated[{kind}, Meta({given})]"
        return f"{self.name}: {kind}{' | None = None' if self.is_optional else ''}"

    def alias(self, resource: str) -> str:
        """The type of an enum."""
        return f"{self._type(resource)} = Literal[{', '.join(map(quoted, self.values))}]"

    def _type(self, resource: str) -> str:
        if self.kind == "decimal":
            sign = "" if self.bounds[0] is None else ", signed=False"
            return f"Annotated[Decimal, fixed_point({self.digits[0]}, {self.digits[1]}{sign})]"
        return TYPES[self.kind][0] or resource + camel(self.name)

    def samples(self) -> tuple[str, str]:
        """Two values as Python code. They are the same if there is only one."""
        low, high = self.bounds
        if self.kind == "enum":
            return quoted(self.values[0]), quoted(self.values[-1])
        if self.kind == "ref":
            return (f"await {self.helper}(client)",) * 2
        if self.kind == "decimal":
            fraction = "5".ljust(self.digits[1], "0")
            return quoted(f"2.{fraction}"), quoted(f"1.{fraction}")
        if self.kind == "text":
            texts = (f"{word} {self.name.replace('_', ' ')}" for word in ("some", "other"))
            longest = int(high) if high is not None else None
            one, other = (quoted(text[:longest].ljust(int(low or 0), ".")) for text in texts)
            return one, other
        if self.kind in {"float", "int"}:
            numbers = (2.5, 1.5, low, high) if self.kind == "float" else (2, 1, low, high)
            valid = [each for each in numbers if each is not None and self._allows(each)]
            return repr(valid[0]), repr(next((each for each in valid if each != valid[0]), valid[0]))
        return _SAMPLES[self.kind]

    def _allows(self, value: float) -> bool:
        low, high = self.bounds
        return (low is None or low <= value) and (high is None or value <= high)


def parse_fields(texts: Iterable[str], tables: Mapping[str, str]) -> list[Field]:
    """The fields, the optional ones last. ``tables`` are those of the application, each with the helper of its tests.

    Raises ConfigurationError with a sentence for each fault.
    """
    fields: list[Field] = []
    faults: list[str] = []
    for text in texts:
        try:
            fields.append(_parse(text, tables, {field.name for field in fields}))
        except ValueError as error:
            faults.append(f"{text}: {error}")
    if not fields and not faults:
        faults.append("a resource has at least one field: add one, such as body:text")
    if faults:
        raise ConfigurationError(faults)
    return sorted(fields, key=lambda field: field.is_optional)


def plural_of(word: str) -> str:
    if re.search(r"[^aeiou]y$", word):
        return f"{word[:-1]}ies"
    return f"{word}es" if re.search(r"(s|x|z|ch|sh)$", word) else f"{word}s"


def camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def quoted(text: str) -> str:
    return json.dumps(text)


def _parse(text: str, tables: Mapping[str, str], before: Collection[str]) -> Field:
    """Raises ValueError with the fault and its cure."""
    definition = text.removesuffix("?")
    name, _, rest = definition.partition(":")
    kind, _, argument = rest.partition(":")
    if not NAME.fullmatch(name) or iskeyword(name):
        raise ValueError("a field has a name of up to 25 lower-case letters, digits and _, such as unit_price")
    if kind not in TYPES:
        similar = get_close_matches(kind, TYPES, 1)
        hint = f"write {name}:{similar[0]}" if similar else f"the types are {', '.join(TYPES)}"
        raise ValueError(f"{f'no type {kind}' if kind else 'it has no type'}; {hint}")
    column = f"{name}_id" if kind == "ref" else name
    if column in _TAKEN or column in before:
        raise ValueError(f"the resource has a field {column} already; choose another name")
    if column in _USED or (kind == "enum" and name in _SCHEMAS):
        raise ValueError(f"the generated code uses the name {column}; choose another, such as {name}_value")
    is_optional = text != definition
    if kind == "decimal":
        return _decimal(name, argument, is_optional=is_optional)
    if kind == "ref":
        return _reference(name, column, argument or plural_of(name), tables, is_optional=is_optional)
    if kind == "enum":
        values = tuple(argument.split(","))
        if not all(re.fullmatch(r"[a-z0-9][a-z0-9_-]*", value) for value in values) or len(set(values)) < len(values):
            raise ValueError(f"an enum has values in lower case, such as {name}:enum:draft,published")
        return Field(column, kind, is_optional, values=values)
    return Field(column, kind, is_optional, bounds=_range(name, kind, argument) if argument else (None, None))


def _reference(name: str, column: str, table: str, tables: Mapping[str, str], *, is_optional: bool) -> Field:
    if table not in tables:
        similar = get_close_matches(table, tables, 1)
        hint = f"write {name}:ref:{similar[0]}" if similar else f"first restwell generate resource {name} ..."
        raise ValueError(f"there is no table {table}; {hint}")
    if not tables[table]:
        raise ValueError(
            f"tests/test_{table}.py has no function that adds one:"
            f" write async def add_{name}(client: ApiClient) -> str, which returns its id"
        )
    return Field(column, "ref", is_optional, table=table, helper=tables[table])


def _decimal(name: str, text: str, *, is_optional: bool) -> Field:
    found = re.fullmatch(r"(\d{1,2}),(\d)(:0\.\.)?", text)
    digits, places = (int(found[1]), int(found[2])) if found is not None else (0, 0)
    if found is None or not 1 <= places <= 6 or not places < digits <= 18:
        raise ValueError(
            "a decimal has up to 18 digits, 1 to 6 of them after the point:"
            f" write {name}:decimal:10,2, or {name}:decimal:10,2:0.. if none is negative"
        )
    return Field(name, "decimal", is_optional, bounds=(0 if found[3] else None, None), digits=(digits, places))


def _range(name: str, kind: str, text: str) -> tuple[float | None, float | None]:
    if kind not in {"float", "int", "text"}:
        raise ValueError(f"{kind} has no range: write {name}:{kind}; int, float and text have one")
    number = r"-?\d+(?:\.\d+)?" if kind == "float" else r"-?\d+" if kind == "int" else r"\d+"
    found = re.fullmatch(rf"({number})?\.\.({number})?", text)
    if found is None or not any(found.groups()):
        raise ValueError(f"{text} is no range: write {name}:{kind}:1..5, 1.. or ..5")
    convert = float if kind == "float" else int
    low, high = (convert(each) if each is not None else None for each in found.groups())
    limits = (0, 5_000) if kind == "text" else _INT64
    if low is not None and high is not None and low > high:
        raise ValueError(f"the range {text} is empty: write {name}:{kind}:{high}..{low}")
    if kind != "float" and not _fits((low, high), limits):
        raise ValueError(f"a range of {kind} is between {limits[0]} and {limits[1]}")
    return low, high


def _fits(bounds: tuple[float | None, float | None], limits: tuple[int, int]) -> bool:
    return all(bound is None or limits[0] <= bound <= limits[1] for bound in bounds)


def _literal(value: float) -> str:
    return _POWERS.get(value) or repr(value)
