"""Fields of ``restwell generate resource``: what each declares, and the sentence for one that is wrong."""

import pytest

from restwell._cli.resource_fields import parse_fields, plural_of
from restwell.errors import ConfigurationError

TABLES = {"products": "add_product", "people": "add_person", "cities": ""}


@pytest.mark.parametrize(
    ("text", "column", "requested", "samples"),
    [
        ("body:text", 'Column("body", Text, nullable=False)', "body: MultiLineText", ('"some body"', '"other body"')),
        (
            "name:text:6..80?",
            'Column("name", Text)',
            "name: Annotated[PlainText, Meta(min_length=6, max_length=80)] | None = None",
            ('"some name"', '"other name"'),
        ),
        (
            "code:text:..4",
            'Column("code", Text, nullable=False)',
            "code: Annotated[PlainText, Meta(max_length=4)]",
            ('"some"', '"othe"'),
        ),
        (
            "blank:text:..0",
            'Column("blank", Text, nullable=False)',
            "blank: Annotated[PlainText, Meta(max_length=0)]",
            ('""', '""'),
        ),
        (
            "stock:int",
            'Column("stock", Integer, nullable=False)',
            "stock: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]",
            ("2", "1"),
        ),
        (
            "rating:int:3..5?",
            'Column("rating", Integer, CheckConstraint("rating BETWEEN 3 AND 5", name="reviews_rating"))',
            "rating: Annotated[int, Meta(ge=3, le=5)] | None = None",
            ("3", "5"),
        ),
        (
            "views:int:..5000000000",
            'Column("views", BigInteger, CheckConstraint("views <= 5000000000", name="reviews_views"), nullable=False)',
            "views: Annotated[int, Meta(ge=-(2**63), le=5000000000)]",
            ("2", "1"),
        ),
        (
            "order:float:0.5..",
            'Column("order", Float, CheckConstraint("\\"order\\" >= 0.5", name="reviews_order"), nullable=False)',
            "order: Annotated[float, Meta(ge=0.5)]",
            ("2.5", "1.5"),
        ),
        (  # a word of SQLite, and not of PostgreSQL
            "set:float:0.5..",
            'Column("set", Float, CheckConstraint("\\"set\\" >= 0.5", name="reviews_set"), nullable=False)',
            "set: Annotated[float, Meta(ge=0.5)]",
            ("2.5", "1.5"),
        ),
        (
            "price:decimal:10,2:0..",
            'Column("price", FixedPoint(10, 2), CheckConstraint("price >= 0", name="reviews_price"), nullable=False)',
            "price: Annotated[Decimal, fixed_point(10, 2, signed=False)]",
            ('"2.50"', '"1.50"'),
        ),
        (
            "shift:decimal:4,1?",
            'Column("shift", FixedPoint(4, 1))',
            "shift: Annotated[Decimal, fixed_point(4, 1)] | None = None",
            ('"2.5"', '"1.5"'),
        ),
        ("done:bool", 'Column("done", Flag, nullable=False)', "done: bool", ("True", "False")),
        ("due:date?", 'Column("due", Date)', "due: date | None = None", ('"2026-12-01"', '"2026-12-24"')),
        (
            "at:datetime",
            'Column("at", Timestamp, nullable=False)',
            "at: Instant",
            ('"2026-12-01T09:30:00Z"', '"2026-12-24T16:00:00Z"'),
        ),
        (
            "status:enum:draft,done?",
            """Column("status", Text, CheckConstraint("status IN ('draft', 'done')", name="reviews_status"))""",
            "status: ReviewStatus | None = None",
            ('"draft"', '"done"'),
        ),
        (
            "product:ref",
            'Column("product_id", Id, ForeignKey("products.id", ondelete="CASCADE"), nullable=False)',
            "product_id: UUID",
            ("await add_product(client)", "await add_product(client)"),
        ),
        (
            "buyer:ref:people?",
            'Column("buyer_id", Id, ForeignKey("people.id", ondelete="SET NULL"))',
            "buyer_id: UUID | None = None",
            ("await add_person(client)", "await add_person(client)"),
        ),
    ],
)
def test_a_field_is_a_column_a_field_of_requests_and_two_examples(
    text: str, column: str, requested: str, samples: tuple[str, str]
) -> None:
    """Fails if a limit is on one side only, or if an example is out of its range."""
    [field] = parse_fields([text], TABLES)
    assert (field.column("reviews"), field.requested("Review"), field.samples()) == (column, requested, samples)


def test_optional_fields_are_the_last_ones_and_an_enum_is_a_literal() -> None:
    """Fails if a field without a default follows one with it: a Struct refuses that."""
    fields = parse_fields(["note:text?", "status:enum:a,b", "external:uuid?"], {})
    assert [field.shown("Review") for field in fields] == [
        "status: ReviewStatus",
        "note: str | None",
        "external: UUID | None",
    ]
    assert fields[0].alias("Review") == 'ReviewStatus = Literal["a", "b"]'


BAD_NAME = "a field has a name of up to 25 lower-case letters, digits and _, such as unit_price"
BAD_ENUM = "an enum has values in lower case, such as status:enum:draft,published"
NO_TYPE = "the types are bool, date, datetime, decimal, enum, float, int, ref, text, uuid"
NO_RANGE = "is no range: write rating:int:1..5, 1.. or ..5"
NO_DIGITS = """a decimal has up to 18 digits, 1 to 6 of them after the point: write price:decimal:10,2, \
or price:decimal:10,2:0.. if none is negative"""
NO_HELPER = """tests/test_cities.py has no function that adds one: write async def add_city(client: ApiClient) -> str, \
which returns its id"""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("rating", f"it has no type; {NO_TYPE}"),
        ("rating:integer", "no type integer; write rating:int"),
        ("rating:json", f"no type json; {NO_TYPE}"),
        ("Rating:int", BAD_NAME),
        ("class:int", BAD_NAME),
        ("version:int", "the resource has a field version already; choose another name"),
        ("date:date", "the generated code uses the name date; choose another, such as date_value"),
        ("request:enum:a,b", "the generated code uses the name request; choose another, such as request_value"),
        ("match:ref", "the generated code uses the name match_id; choose another, such as match_value"),
        ("done:bool:1..2", "bool has no range: write done:bool; int, float and text have one"),
        ("rating:int:5", f"5 {NO_RANGE}"),
        ("rating:int:1.5..2", f"1.5..2 {NO_RANGE}"),
        ("rating:int:5..1", "the range 5..1 is empty: write rating:int:1..5"),
        ("body:text:..9999", "a range of text is between 0 and 5000"),
        ("price:decimal", NO_DIGITS),
        ("price:decimal:19,2", NO_DIGITS),
        ("price:decimal:6,6", NO_DIGITS),
        ("price:decimal:10,7", NO_DIGITS),
        ("price:decimal:10,2:1..", NO_DIGITS),
        ("status:enum", BAD_ENUM),
        ("status:enum:a,a", BAD_ENUM),
        ("prodct:ref", "there is no table prodcts; write prodct:ref:products"),
        ("zoo:ref", "there is no table zoos; first restwell generate resource zoo ..."),
        ("city:ref", NO_HELPER),
    ],
)
def test_a_wrong_field_is_one_sentence_with_its_cure(text: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_fields([text], TABLES)
    assert raised.value.faults == [f"{text}: {fault}"]


def test_all_faults_are_named_at_once_and_a_resource_needs_a_field() -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_fields(["a", "b:text", "b:int", "c:enum"], {})
    assert [fault.partition(":")[0] for fault in raised.value.faults] == ["a", "b", "c"]
    with pytest.raises(ConfigurationError, match="at least one field"):
        parse_fields([], {})


@pytest.mark.parametrize(
    ("word", "plural"),
    [("review", "reviews"), ("city", "cities"), ("day", "days"), ("box", "boxes"), ("match", "matches")],
)
def test_the_plural_of_a_word(word: str, plural: str) -> None:
    assert plural_of(word) == plural
