"""An application that breaks its contract in one of many ways, for the contract tests."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Final, cast
from uuid import UUID

from msgspec import Meta, Struct, to_builtins

from restwell import App, Restwell
from restwell.auth import Actor
from restwell.errors import AppError, FieldError, Invalid, NotFound, Unauthorized
from restwell.ids import new_id
from restwell.settings import Settings
from restwell.testing import ApiClient
from restwell.web import Controller, Feature, Response, Version, created, delete, get, post, put, signed_in

SCHEMA: Final = "Response violates schema"
ERROR: Final = "Undocumented error"
ACCEPTED: Final = "Schema-violating request accepted"
BUGS: Final = {
    "undocumented-status": "Undocumented status code",
    "undocumented-field": SCHEMA,
    "missing-field": SCHEMA,
    "wrong-null": SCHEMA,
    "wrong-type": SCHEMA,
    "out-of-bounds": SCHEMA,
    "unknown-enum-value": SCHEMA,
    "wrong-format": SCHEMA,
    "crash": "Server error",
    "crash-on-null": "Server error",
    "missing-authentication": "API accepts requests without authentication",
    "ignored-authentication": "API accepts invalid authentication",
    "wrong-media-type": "Undocumented Content-Type",
    "wrong-error-media-type": ERROR,
    "undocumented-error-code": ERROR,
    "undocumented-error-status": "Undocumented status code",
    "ignored-bound": ACCEPTED,
    "ignored-required-field": ACCEPTED,
    "ignored-unknown-field": ACCEPTED,
    "ignored-header": "Missing required header accepted",
    "undocumented-rule": "Schema-valid request rejected",
    "undocumented-method": "Wrong response to undeclared method",
    "not-deleted": "Deleted resource still available",
    "not-created": "Created resource not found",
}
"""The title of the fault that each bug is found as."""
TOKEN: Final = "the right token"
USER: Final = UUID("0192f0c1-2a3b-7c4d-8e5f-60718293a4b5")


class Kind(StrEnum):
    BIG = "big"
    SMALL = "small"


Count = Annotated[int, Meta(ge=0, le=100)]


class Thing(Struct, frozen=True):
    id: UUID
    name: str
    count: Count
    kind: Kind
    note: str | None


class ThingRequest(Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=20)]
    count: Count
    kind: Kind = Kind.BIG
    note: str | None = None


class LooseRequest(Struct, frozen=True):
    name: str
    count: Annotated[int, Meta(ge=0, le=1_000)]
    kind: Kind = Kind.BIG
    note: str | None = None


class Things(Struct, frozen=True):
    items: list[Thing]


class Odd(AppError):
    code, status = "odd", 404
    message = "Odd."


class Conflicting(AppError):
    code, status = "conflicting", 409
    message = "Conflicting."


def create_app(settings: Settings, bug: str) -> App:  # noqa: C901  # one place for all bugs
    """The application with this bug; without one, it has none."""
    stored: dict[UUID, Thing] = {}
    guards = [] if bug == "missing-authentication" else [signed_in]
    body: Any = LooseRequest if bug == "ignored-unknown-field" else ThingRequest

    def shown(thing: Thing) -> Any:
        content = to_builtins(thing)
        changes: dict[str, dict[str, Any]] = {
            "undocumented-field": {"secret": 1},
            "wrong-null": {"name": None},
            "wrong-type": {"count": "1"},
            "out-of-bounds": {"count": 101},
            "unknown-enum-value": {"kind": "other"},
            "wrong-format": {"id": "1"},
        }
        content |= changes.get(bug, {})
        if bug == "missing-field":
            del content["count"]
        return content

    class ThingController(Controller):
        path = "/things"
        tags = ["Things"]

        @get(guards=guards)
        async def list_things(self) -> Response[Things]:
            """List all things."""
            found = cast("Things", {"items": [shown(thing) for thing in stored.values()][:3]})
            media_type = "text/html" if bug == "wrong-media-type" else None
            status = 202 if bug == "undocumented-status" else None
            return Response(content=found, status_code=status, media_type=media_type)

        @post(guards=[signed_in])
        async def add_thing(self, data: body) -> Response[Thing]:
            """Add a thing."""
            if bug == "crash" and data.count == 100:
                raise ZeroDivisionError
            if bug == "crash-on-null" and data.note is None:
                raise TypeError
            if bug == "undocumented-rule" and data.kind == Kind.SMALL:
                raise Invalid(errors=[FieldError("$.kind", "is not allowed")])
            thing = Thing(new_id(), data.name, data.count, data.kind, data.note)
            if bug != "not-created":
                stored[thing.id] = thing
            return created(cast("Thing", shown(thing)), thing.id)

        @get("/{thing_id}", guards=[signed_in])
        async def get_thing(self, thing_id: UUID) -> Response[Thing]:
            """Retrieve a thing."""
            if thing_id in stored:
                return Response(content=cast("Thing", shown(stored[thing_id])))
            if bug == "wrong-error-media-type":
                return Response(content=cast("Thing", {}), status_code=404, media_type="application/json")
            raise {"undocumented-error-code": Odd, "undocumented-error-status": Conflicting}.get(bug, NotFound)

        @delete("/{thing_id}", guards=[signed_in])
        async def delete_thing(self, thing_id: UUID) -> None:
            """Delete a thing."""
            if thing_id not in stored:
                raise NotFound
            if bug != "not-deleted":
                del stored[thing_id]

    class Hidden(Controller):
        path = "/things"

        @put(include_in_schema=False)
        async def replace_things(self) -> Things:
            """Replace all things."""
            return Things([])

    async def authenticate(token: str) -> Actor:
        if token != TOKEN and bug != "ignored-authentication":
            raise Unauthorized
        return Actor(USER, "user", USER)

    controllers = [ThingController, *([Hidden] if bug == "undocumented-method" else [])]
    version = Version("/v1", [Feature(controllers=controllers)])
    app = Restwell(settings, name="planted").app([version], authenticate=authenticate)
    change = _CHANGES.get(bug)
    if change is not None:
        change(app.documents["/v1"])
    return app


async def sign_in(caller: ApiClient) -> None:
    caller.tokens = {"access_token": TOKEN}


def _require_authentication(document: Any) -> None:
    paths = document["paths"]["/v1/things"]
    paths["get"]["security"] = paths["post"]["security"]


def _lower_bound(document: Any) -> None:
    document["components"]["schemas"]["ThingRequest"]["properties"]["count"] = {"type": "integer", "maximum": 10}


def _require_note(document: Any) -> None:
    document["components"]["schemas"]["ThingRequest"]["required"].append("note")


def _forbid_unknown_fields(document: Any) -> None:
    schema = document["components"]["schemas"]["LooseRequest"]
    schema["additionalProperties"] = False


def _require_header(document: Any) -> None:
    parameter = {"name": "X-Reason", "in": "header", "required": True, "schema": {"type": "string"}}
    document["paths"]["/v1/things"]["get"]["parameters"].append(parameter)


_CHANGES: Final[dict[str, Callable[[Any], None]]] = {
    "missing-authentication": _require_authentication,
    "ignored-bound": _lower_bound,
    "ignored-required-field": _require_note,
    "ignored-unknown-field": _forbid_unknown_fields,
    "ignored-header": _require_header,
}
