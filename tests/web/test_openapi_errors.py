"""The error responses in the OpenAPI document."""

from typing import Any

from jsonschema import Draft202012Validator
from msgspec import Struct
from openapi_spec_validator import OpenAPIV31SpecValidator

from restwell import Restwell
from restwell.database import DatabaseBusy
from restwell.errors import ErrorFormat, NotFound
from restwell.settings import Settings
from restwell.web import Controller, Version, get


class Thing(Struct, frozen=True):
    name: str


def test_the_body_of_an_error_lists_the_codes_of_its_operation_and_status() -> None:
    """Breaks if the codes are only examples. One component has all errors; a format without codes is left as it is."""

    class Failing(Controller):
        path = "/failing"

        @get(raises=[NotFound, DatabaseBusy])
        async def fail(self) -> Thing:
            """Fail."""
            raise NotImplementedError

    def error_body(status: str, document: dict[str, Any]) -> Any:
        (content,) = document["paths"]["/v1/failing"]["get"]["responses"][status]["content"].values()
        return content["schema"]

    document = Restwell(Settings(), name="things").app([Version("/v1", [Failing])]).openapi
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    schema = error_body("404", document)
    assert schema == {"$ref": "#/components/schemas/Problem", "properties": {"code": {"enum": ["not_found"]}}}
    assert error_body("503", document)["properties"]["code"]["enum"][0] == "database_busy"
    problem = {"type": "about:blank", "title": "", "status": 404, "detail": "", "request_id": "", "code": "not_found"}
    validator = Draft202012Validator({**schema, "components": document["components"]})
    assert validator.is_valid(problem)
    assert not validator.is_valid({**problem, "code": "gone"})
    for value, kind in (("gone", str), ({"error": "gone"}, dict), ({"error": "x"}, Thing)):
        own = ErrorFormat("application/json", lambda *_, value=value: value, kind)
        other = Restwell(Settings(), name="things").app([Version("/v1", [Failing])], errors=own).openapi
        assert "properties" not in error_body("404", other)
