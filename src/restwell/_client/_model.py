"""What a client must know of an API, in no programming language. See ``_reader.py``, which reads it from a document."""

from typing import Literal, TypeAlias

from msgspec import Struct


class Plain(Struct, frozen=True):
    """A value of JSON. ``format`` is that of a string: date-time, date, time, duration, uuid, binary, byte, ..."""

    name: Literal["string", "integer", "number", "boolean", "null", "any"]
    format: str = ""


class Literals(Struct, frozen=True):
    """One of a few values, which have no name."""

    values: tuple[str | int | float | bool | None, ...]


class Ref(Struct, frozen=True):
    """A schema with a name."""

    name: str


class ListOf(Struct, frozen=True):
    items: "Type"


class TupleOf(Struct, frozen=True):
    items: tuple["Type", ...]


class MapOf(Struct, frozen=True):
    values: "Type"


class Nullable(Struct, frozen=True):
    inner: "Type"


class UnionOf(Struct, frozen=True):
    """``discriminator``: the property whose value tells the arms apart, if each is an object with its own ``tag``.

    Without one, a value is of the first arm that it fits.
    """

    arms: tuple["Type", ...]
    discriminator: str | None = None


Type: TypeAlias = Plain | Literals | Ref | ListOf | TupleOf | MapOf | Nullable | UnionOf


class Property(Struct, frozen=True, kw_only=True):
    name: str
    type: Type
    required: bool
    description: str = ""
    deprecated: bool = False


class ObjectSchema(Struct, frozen=True, kw_only=True):
    """``tag``: the value of its property ``tag_property``, which tells it from the other arms of unions."""

    name: str
    description: str
    properties: tuple[Property, ...]
    tag_property: str | None = None
    tag: str | None = None


class EnumSchema(Struct, frozen=True, kw_only=True):
    """Clients must accept other values too: a newer API may have more."""

    name: str
    description: str
    values: tuple[str, ...]


class AliasSchema(Struct, frozen=True, kw_only=True):
    """Another name for a type."""

    name: str
    description: str
    type: Type


Schema: TypeAlias = ObjectSchema | EnumSchema | AliasSchema


class Parameter(Struct, frozen=True, kw_only=True):
    """``Idempotency-Key``, ``If-Match`` and ``If-None-Match`` are not among these, but in the operation."""

    name: str
    place: Literal["path", "query", "header"]
    type: Type
    required: bool
    description: str = ""
    deprecated: bool = False


class Body(Struct, frozen=True, kw_only=True):
    """``kind`` file: the one part, with the name ``part``, of ``multipart/form-data``. ``text`` and ``bytes``: raw."""

    kind: Literal["json", "form", "file", "text", "bytes"]
    media_type: str
    type: Type
    required: bool = True
    part: str | None = None


class Success(Struct, frozen=True, kw_only=True):
    """``kind`` redirect: the result is the Location. ``none``: there is no body."""

    status: int
    kind: Literal["json", "text", "bytes", "redirect", "none"]
    type: Type = Plain("null")


class Page(Struct, frozen=True, kw_only=True):
    """How the next page is found. ``parameter`` is the query parameter that asks for it: ``cursor`` or ``offset``.

    ``next`` is a property of the page. It has the value of the parameter (``form`` value) or the path of the next page
    (path), null on the last one; or it says whether there is a next page (more), whose offset the client counts.
    """

    items: str
    item: Type
    next: str
    form: Literal["value", "path", "more"]
    parameter: str


class Operation(Struct, frozen=True, kw_only=True):
    """An operation. ``description`` begins with the summary.

    ``idempotent``: takes an ``Idempotency-Key``, so that a repeat is safe. ``if_match``: takes the entity tag of the
    version to change. ``tagged``: its response has the entity tag that the ``if_match`` operations of its path need.
    ``authenticated``: accepts credentials. ``signs_in``: its response may have an access and a refresh token.
    ``errors``: the codes, by status.
    """

    id: str
    method: Literal["get", "post", "put", "patch", "delete"]
    path: str
    tag: str
    description: str
    deprecated: bool
    parameters: tuple[Parameter, ...]
    body: Body | None
    successes: tuple[Success, ...]
    errors: dict[int, tuple[str, ...]]
    page: Page | None
    idempotent: bool
    if_match: bool
    tagged: bool
    authenticated: bool
    signs_in: bool


class ErrorCode(Struct, frozen=True, kw_only=True):
    code: str
    message: str
    statuses: tuple[int, ...]


class Api(Struct, frozen=True, kw_only=True):
    """An API. ``code_property``: the member of an error that has its code.

    ``refresh``: the path that exchanges ``{"refresh_token": ...}`` for a new pair of tokens. ``tokens``: the schema of
    such a pair. ``token_url``: where machine clients get an access token (OAuth 2 client credentials). ``scheme``: what
    stands before a token in ``Authorization``.
    """

    title: str
    description: str
    operations: tuple[Operation, ...]
    schemas: tuple[Schema, ...]
    errors: tuple[ErrorCode, ...]
    code_property: str
    refresh: str | None
    tokens: str | None
    token_url: str | None
    scheme: str
