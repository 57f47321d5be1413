"""Mutants of an OpenAPI document: one change of the contract each, with how it must be classified."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from mutants import BREAKING, DELETED, RISKY, SAFE, Edits, Found, Json, Mutant, operations_of, sampled, severity
from restwell._api._changes import Level
from restwell._api._documents import faults_of
from restwell._api._operations import compare_documents
from schema_mutants import mutants_of_schemas

NOW: Final = datetime(2026, 6, 1, tzinfo=UTC)


def assert_each_kind_has_its_class(document: Json, *, per_kind: int, kinds: int) -> None:
    """Compare the document with so many mutants of each kind, of which there are at least ``kinds``."""
    leave_out_code_lists(document)
    old = msgspec.json.decode(msgspec.json.encode(document))
    mutants = sampled(all_mutants(document), per_kind)
    wrong = []
    for mutant in mutants:
        with mutant.applied():
            assert list(faults_of(document)) == []
            changes = compare_documents(old, document, NOW)
            if severity(changes) is not mutant.level:
                wrong.append((mutant.kind, mutant.where, mutant.level, changes))
    assert not wrong, wrong
    assert document == old
    assert len({mutant.kind for mutant in mutants}) >= kinds


def leave_out_code_lists(document: Json) -> None:
    """Remove what says the same as the names of the examples of errors: a mutant would have to change both."""
    for _, _, _, operation in operations_of(document):
        for response in operation["responses"].values():
            for content in response.get("content", {}).values():
                if "$ref" in content["schema"]:
                    content["schema"].pop("properties", None)


def all_mutants(document: Json) -> Iterator[Mutant]:
    yield from mutants_of_schemas(document)
    yield from mutants_of_operations(document)
    yield from mutants_of_security(document)


def mutants_of_operations(document: Json) -> Iterator[Mutant]:
    for label, item, method, operation in operations_of(document):
        for kind, edits, level in (
            *_of_operation(item, method, operation),
            *_of_parameters(operation),
            *_of_body(operation),
            *_of_responses(operation["responses"]),
            *_of_requirements(document, operation),
        ):
            yield Mutant(kind, label, edits, level)


def _of_operation(item: Json, method: str, operation: Json) -> Found:
    gone: Json = {"deprecated": True, "x-sunset": "2020-01-01"}
    yield "operation removed", ((item, method, DELETED),), BREAKING
    yield "operation added", tuple((item, other, operation) for other in ("put",) if other not in item), SAFE
    yield "operation renamed", ((operation, "operationId", "another"),), RISKY
    yield "tag renamed", ((operation, "tags", ["another"]),), RISKY
    yield (
        "operation deprecated",
        tuple((operation, key, value) for key, value in gone.items()),
        (
            RISKY if "x-sunset" in operation else SAFE  # an earlier date
        ),
    )


def _of_parameters(operation: Json) -> Found:
    parameters = operation.get("parameters", [])
    new = {"name": "new", "in": "query", "schema": {"type": "string"}}
    yield "optional parameter added", ((operation, "parameters", [*parameters, new]),), SAFE
    required = {**new, "required": True}
    yield "required parameter added", ((operation, "parameters", [*parameters, required]),), BREAKING
    key = {**required, "name": "Idempotency-Key", "in": "header"}
    if not any(each["name"] == "Idempotency-Key" for each in parameters):
        yield "idempotency key required", ((operation, "parameters", [*parameters, key]),), BREAKING
    for parameter in parameters:
        if parameter["in"] == "path":
            continue
        rest = [each for each in parameters if each is not parameter]
        yield (
            f"{parameter['in']} parameter removed",
            ((operation, "parameters", rest),),
            (RISKY if parameter["in"] == "header" else BREAKING),
        )
        if parameter.get("required"):
            yield "parameter made optional", ((parameter, "required", False),), SAFE
        else:
            yield "parameter made required", ((parameter, "required", True),), BREAKING
        yield "style of a parameter", ((parameter, "style", "deepObject"),), BREAKING
        yield (
            "parameter renamed",
            ((parameter, "name", "another"),),
            (RISKY if parameter["in"] == "header" and not parameter.get("required") else BREAKING),
        )


def _of_body(operation: Json) -> Found:
    if "requestBody" not in operation:
        body = {"required": True, "content": {"application/json": {"schema": {"type": "string"}}}}
        yield "body required", ((operation, "requestBody", body),), BREAKING
        return
    body = operation["requestBody"]
    content = body["content"]
    yield "body removed", ((operation, "requestBody", DELETED),), BREAKING
    yield "body made optional", ((body, "required", False),), SAFE
    (media_type,) = content
    other = {"application/cbor": content[media_type]}
    yield "media type of a body changed", ((body, "content", other),), BREAKING
    yield "media type of a body added", ((body, "content", {**content, **other}),), SAFE


def _of_responses(responses: Json) -> Found:
    success = min(responses)
    yield "success removed", ((responses, success, DELETED),), BREAKING
    edits = ((responses, "299", responses[success]), (responses, success, DELETED))
    yield "status of a success changed", edits, BREAKING
    yield "success added", ((responses, "299", responses[success]),), BREAKING
    yield "error added", ((responses, "418", {"description": "a teapot"}),), RISKY
    yield "redirect added", ((responses, "307", {"description": "there"}),), RISKY
    header = {"schema": {"type": "string"}}
    yield "header added", ((responses[success], "headers", {"X-New": header}),), SAFE
    for status, response in responses.items():
        content = response.get("content")
        if status >= "4":
            yield "error removed", ((responses, status, DELETED),), SAFE
        if not content:
            continue
        (media_type,) = content
        other = {"application/cbor": content[media_type]}
        yield "media type of a response changed", ((response, "content", other),), BREAKING
        yield "media type of a response added", ((response, "content", {**content, **other}),), RISKY
        yield "body of a response removed", ((response, "content", DELETED),), BREAKING
        codes = content[media_type].get("examples", {})
        if status >= "4" and codes:
            described = content[media_type]
            yield "code added", ((described, "examples", {**codes, "new_code": {"value": {}}}),), RISKY
            first = next(iter(codes))
            rest = {code: codes[code] for code in codes if code != first}
            yield "code removed", ((described, "examples", rest),), SAFE
            moved = {**response, "content": {media_type: {**described, "examples": {first: codes[first]}}}}
            yield "code of another status", ((described, "examples", rest), (responses, "418", moved)), BREAKING


def _of_requirements(document: Json, operation: Json) -> Found:
    security = operation.get("security", [])
    schemes = list(document["components"].get("securitySchemes", {}))
    if not schemes:
        return
    if not security:
        yield "credentials required", ((operation, "security", [{schemes[0]: []}]),), BREAKING
        return
    if {} not in security:
        yield "made public", ((operation, "security", []),), SAFE
        yield "made optional to sign in", ((operation, "security", [{}, *security]),), SAFE
    for requirement in filter(None, security):
        rest = [each for each in security if each is not requirement]
        if rest and {} not in security:
            yield "credentials refused", ((operation, "security", rest),), BREAKING
        ((scheme, scopes),) = requirement.items()
        stricter = [{scheme: [*scopes, "more"]} if each is requirement else each for each in security]
        if {} not in security:
            yield "scope required", ((operation, "security", stricter),), BREAKING
        if scopes:
            looser = [{scheme: []} if each is requirement else each for each in security]
            yield "scope no longer required", ((operation, "security", looser),), SAFE


def mutants_of_security(document: Json) -> Iterator[Mutant]:
    schemes: Mapping[str, Json] = document["components"].get("securitySchemes", {})
    for name, scheme in schemes.items():
        edits: list[tuple[str, Edits, Level | None]] = []
        if scheme["type"] == "http":
            edits.append(("scheme changed", ((scheme, "scheme", "basic"),), BREAKING))
            edits.append(("format of the token changed", ((scheme, "bearerFormat", "opaque"),), RISKY))
        elif scheme["type"] == "apiKey":
            edits.append(("name of a cookie changed", ((scheme, "name", "another"),), BREAKING))
        for flow in scheme.get("flows", {}).values():
            scopes = flow["scopes"]
            edits.append(("token URL changed", ((flow, "tokenUrl", "/another"),), BREAKING))
            edits.append(("scope removed", ((flow, "scopes", dict(list(scopes.items())[1:])),), BREAKING))
            edits.append(("scope added", ((flow, "scopes", {**scopes, "more": "More."}),), SAFE))
            edits.append(("flow removed", ((scheme, "flows", {}),), BREAKING))
        for kind, changed, level in edits:
            yield Mutant(kind, name, changed, level)
    servers = [{"url": f"{server['url'].rstrip('/')}/api"} for server in document["servers"]]
    yield Mutant("path of the server changed", "", ((document, "servers", servers),), BREAKING)
    hosts = [{"url": "https://other.example/"}]
    yield Mutant("host of the server changed", "", ((document, "servers", hosts),), None)
