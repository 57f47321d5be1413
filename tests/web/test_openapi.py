"""The OpenAPI document describes exactly what the application has."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from msgspec import UNSET, Struct, UnsetType, defstruct
from openapi_spec_validator import OpenAPIV31SpecValidator

from restwell import Restwell
from restwell.auth import Actor
from restwell.pages import Page
from restwell.settings import Settings
from restwell.web import (
    AuthScheme,
    ClientCredentials,
    Controller,
    Feature,
    JobController,
    Request,
    Response,
    TokenScheme,
    Version,
    get,
    post,
    requires_role,
    signed_in,
    signed_in_or_api_key,
    signed_in_or_scope,
)
from tiny.app import authenticate


class Typed(Struct, frozen=True):
    names: dict[str, "Inner"]


class Inner(Struct, frozen=True):
    n: int


class Whole(Struct, frozen=True):
    id: int
    text: str


class Part(Struct, frozen=True):
    id: int | UnsetType = UNSET
    text: str | UnsetType = UNSET


class OnlyAFilter(Struct, frozen=True):
    n: int = 1


async def has_own_key(_: Request) -> None: ...


class Things(Controller):
    path = "/things"

    @get()
    async def list_things(self, filters: OnlyAFilter) -> Page[Whole] | Page[Part] | None:
        """List things."""

    @post(guards=[signed_in])
    async def add_thing(self, data: Typed) -> Response[Typed]:
        """Add a thing."""
        raise NotImplementedError

    @post("/all", guards=[requires_role("owner", or_scope="things:write")])
    async def add_things(self) -> None:
        """Add things."""

    @get("/all", guards=[signed_in_or_scope("things:read")])
    async def list_all(self) -> None:
        """List all."""

    @post("/own", guards=[signed_in_or_api_key("things:write")])
    async def add_own(self) -> None:
        """Add an own thing."""

    @post("/both", guards=[requires_role("editor", "owner", or_scope="things:write"), signed_in])
    async def add_both(self) -> None:
        """Add both."""

    @post("/optional")
    async def add_as_anyone(self, actor: Actor | None) -> None:
        """Add as anyone."""

    @get("/keyed", guards=[has_own_key])
    async def list_keyed(self) -> None:
        """List by key."""


class AllJobs(JobController):
    guards = [signed_in]


class Plain(Controller):
    path = "/plain"

    @get()
    async def read(self) -> Whole:
        """Read."""
        raise NotImplementedError


class Other(Controller):
    path = "/other"

    @get("/{number}/end")
    async def read(self, number: int) -> int:
        """Read another thing."""
        return number


def document_of(
    *controllers: type[Controller],
    scheme: AuthScheme | None = None,
    client_credentials: ClientCredentials | None = None,
) -> dict[str, Any]:
    feature = Feature(controllers=controllers, client_credentials=client_credentials)
    app = Restwell(Settings(), name="things").app([Version("/v1", [feature])], authenticate=scheme or authenticate)
    assert list(OpenAPIV31SpecValidator(app.openapi).iter_errors()) == []
    return app.openapi


CLIENT_CREDENTIALS = ClientCredentials("/token", {"things:read": "Read.", "things:write": "Write."})


@pytest.mark.parametrize(
    ("controllers", "options", "schemes"),
    [
        ([Plain], {}, set()),
        ([Plain], {"scheme": TokenScheme(authenticate, session_cookies=True)}, set()),
        ([Things], {}, {"access_token"}),
        ([Things], {"scheme": TokenScheme(authenticate, session_cookies=True)}, {"access_token", "session_cookie"}),
        ([Things], {"client_credentials": CLIENT_CREDENTIALS}, {"access_token", "client_credentials"}),
    ],
)
def test_the_document_lists_only_the_security_schemes_of_the_application(
    controllers: list[type[Controller]], options: dict[str, Any], schemes: set[str]
) -> None:
    """Seen to fail: the document of every application had cookies and OAuth."""
    document = document_of(*controllers, **options)
    assert set(document["components"]["securitySchemes"]) == schemes
    operations = {f"{method} {path}": one for path, of in document["paths"].items() for method, one in of.items()}
    required = {scheme for one in operations.values() for way in one["security"] for scheme in way}
    assert required == schemes
    if controllers == [Things]:
        refused = operations["post /v1/things"]["responses"]["403"]["description"]
        assert ("`cross_site_request`" in refused) == ("session_cookie" in schemes)
        assert operations["get /v1/things"]["security"] == []
        assert operations["get /health/live"]["security"] == []


@pytest.mark.parametrize(
    ("path", "text", "text_without_clients", "scopes"),
    [
        (
            "/all",
            "Requires the role owner. OAuth clients and API keys require the scope things:write.",
            "Requires the role owner. API keys require the scope things:write.",
            ["things:write"],
        ),
        (
            "/own",
            "API keys require the scope things:write.",
            "API keys require the scope things:write.",
            None,
        ),
        ("/both", "Requires the role editor or owner.", "Requires the role editor or owner.", None),
        ("/optional", "Signing in is optional.", "Signing in is optional.", None),
    ],
)
def test_the_document_says_who_may_call_an_operation(
    path: str, text: str, text_without_clients: str, scopes: list[str] | None
) -> None:
    """Breaks when a scope is documented although another guard refuses every caller that has scopes."""
    for credentials, expected in ((CLIENT_CREDENTIALS, text), (None, text_without_clients)):
        operation = document_of(Things, client_credentials=credentials)["paths"][f"/v1/things{path}"]["post"]
        assert operation["description"] == expected
        wanted: list[dict[str, list[str]]] = [{"access_token": []}]
        if path == "/optional":
            wanted.insert(0, {})
        if credentials is not None and scopes is not None:
            wanted.append({"client_credentials": scopes})
        assert operation["security"] == wanted
        assert "`unauthorized`" in operation["responses"]["401"]["description"]
        assert "`insufficient_scope`" in operation["responses"]["403"]["description"]


def test_an_unreferenced_schema_is_left_out() -> None:
    """Filters are parameters, not components. OAuthError is included only with OAuth."""
    document = document_of(Things)
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    assert {"Typed", "Inner", "Whole", "Part", "Problem"} <= set(schemas)
    assert not {"OnlyAFilter", "OAuthError"} & set(schemas)
    assert [name for name in schemas if f'"#/components/schemas/{name}"' not in text] == []


def test_a_response_of_two_types_is_a_union() -> None:
    """The example is of the first type. A value of either type is valid, and any other is not."""
    document = document_of(Things)
    content = document["paths"]["/v1/things"]["get"]["responses"]["200"]["content"]["application/json"]
    schema = {**content["schema"], "components": document["components"]}
    validator = Draft202012Validator(schema)
    assert content["example"]["items"] == [{"id": 1, "text": "text"}]
    for items, fits in (([{"id": 1, "text": "x"}], True), ([{"text": "x"}], True), ([{"text": 1}], False)):
        assert validator.is_valid({"items": items, "next_cursor": None}) == fits


def test_every_operation_has_an_id_of_its_own() -> None:
    """Seen to fail: two handlers of one name had the same id. Each version has its document."""
    kit = Restwell(Settings(), name="things")
    documents = kit.app([Version("/v1", [Plain, Other]), Version("/v2", [Plain])]).documents
    assert [list(OpenAPIV31SpecValidator(each).iter_errors()) for each in documents.values()] == [[], []]
    ids = {
        path: operations["get"]["operationId"]
        for document in documents.values()
        for path, operations in document["paths"].items()
    }
    assert {path: name for path, name in ids.items() if path.startswith("/v")} == {
        "/v1/plain": "read",
        "/v1/other/{number}/end": "get_v1_other_by_number_end",
        "/v2/plain": "read",
    }


def test_the_document_names_contact_license_and_the_meaning_of_tags() -> None:
    """The last description of a tag counts, so an application may replace that of a feature."""

    class Tagged(Controller):
        path = "/tagged"
        tags = ["Things", "Jobs", "Others"]

        @get(media_type="text/csv")
        async def read(self) -> bytes:
            """Read."""
            raise NotImplementedError

    things = Feature(controllers=[Tagged], tag_descriptions={"Things": "Some things.", "Unused": "None."})
    own = Feature(tag_descriptions={"Things": "Own things."})
    for contact, member in (("api@app.example", "email"), ("https://app.example/help", "url")):
        app = Restwell(Settings(), name="things").app([things, own], contact=contact, license_id="MIT")
        assert list(OpenAPIV31SpecValidator(app.openapi).iter_errors()) == []
        assert app.openapi["info"]["contact"] == {member: contact}
        assert app.openapi["info"]["license"] == {"name": "MIT", "identifier": "MIT"}
        assert app.openapi["tags"][:3] == [
            {"name": "Things", "description": "Own things."},
            {"name": "Jobs", "description": "Work in the background."},
            {"name": "Others"},
        ]
        content = app.openapi["paths"]["/tagged"]["get"]["responses"]["200"]["content"]
        assert content == {"text/csv": {"schema": {"type": "string"}}}
    assert not {"contact", "license"} & set(document_of(Things)["info"])


def test_the_document_names_a_custom_guard() -> None:
    assert "Guarded by has_own_key." in document_of(Things)["paths"]["/v1/things/keyed"]["get"]["description"]


class Opaque:
    pass


@pytest.mark.parametrize("kind", [object, Opaque, list[Opaque]])
def test_a_type_without_a_schema_is_refused_at_start_with_its_route(kind: Any) -> None:
    """Seen to fail: the message did not say which of the routes has the type."""

    class Broken(Controller):
        path = "/broken"

        @get("/{number}")
        async def read(self, number: int) -> kind:
            """Read."""

    with pytest.raises(
        TypeError, match=r"^read \(GET /v1/broken/{number}\) has a type without a schema: .*"
    ) as refused:
        document_of(Plain, Broken)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["Whole", "WholePage"])
def test_two_types_of_one_name_are_refused_at_start(name: str) -> None:
    """Seen to fail: one of the two components had its Python module path as its name."""
    duplicate = defstruct(name, [("other", int)], module="other.schemas")

    class Namesakes(Controller):
        path = "/duplicates"

        @post()
        async def add_duplicate(self, data: duplicate) -> None:  # type: ignore[valid-type]
            """Add a duplicate."""

    with pytest.raises(TypeError, match=f"types with the same name in the OpenAPI document: .*{name}.*; rename"):
        document_of(Things, Namesakes)
