"""What counts as a fault of a response."""

import asyncio
from pathlib import Path

import pytest

import planted_bugs
from contract_apps import migrate, variables
from restwell.settings import Settings
from restwell.testing import ApiClient, contract_tests
from restwell.testing._contract_faults import closed


@pytest.mark.slow
def test_the_responses_of_a_journey_are_checked(tmp_path: Path) -> None:
    """Breaks if only generated requests are checked."""
    app = planted_bugs.create_app(Settings.load(variables(tmp_path)), "undocumented-error-code")
    asyncio.run(migrate(app))

    async def journey(caller: ApiClient) -> None:
        await planted_bugs.sign_in(caller)
        await caller.get(f"/v1/things/{planted_bugs.USER}")
        await caller.get("/nothing")

    with pytest.raises(AssertionError, match=r"GET http://app\.test/v1/things/") as raised:
        contract_tests(app, journeys=[journey], examples=1)
    assert "Received: 404 odd\nDocumented: not_found" in str(raised.value)


def test_only_the_objects_of_responses_are_closed() -> None:
    def reference(name: str) -> dict[str, str]:
        return {"$ref": f"#/components/schemas/{name}"}

    def response(name: str) -> dict[str, object]:
        return {"content": {"application/json": {"schema": reference(name)}}}

    fields = {"properties": {"inner": reference("Inner")}}
    document = {
        "paths": {"/a": {"post": {"parameters": [], "requestBody": response("Both"), "responses": {
            "200": response("Outer"), "201": response("Both"), "400": response("Error")
        }}}},
        "components": {"schemas": {"Outer": fields, "Inner": fields, "Both": {"properties": {}},
                                   "Error": {"properties": {}}}},
    }  # fmt: skip
    schemas = closed(document)["components"]["schemas"]
    assert {name for name, schema in schemas.items() if "additionalProperties" in schema} == {"Outer", "Inner"}
