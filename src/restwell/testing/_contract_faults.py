"""What is wrong with the responses of a contract test."""

import json
from collections.abc import Callable, Collection, Iterator
from copy import deepcopy
from typing import Any, Final

from msgspec import Struct

from restwell._extras import needs_extra
from restwell.errors import Invalid, MalformedRequest, UnsupportedMediaType
from restwell.web._openapi_schemas import Schema, refs_in

with needs_extra("contract", "restwell.testing.contract_tests"):
    import httpx
    from schemathesis import APIOperation, Case, HookContext, Response
    from schemathesis.checks import not_a_server_error
    from schemathesis.core.failures import Failure, FailureGroup
    from schemathesis.engine import Status
    from schemathesis.engine.recorder import ScenarioRecorder
    from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData, UnsupportedMethodResponse
    from schemathesis.specs.openapi import checks

REJECTIONS: Final = (400, 401, 403, 404, 405, 406, 409, 412, 413, 414, 415, 422, 428, 429, 431)
"""The statuses of responses to requests that do not fit the document."""
_FORMAT_CODES: Final = frozenset(error.code for error in (Invalid, MalformedRequest, UnsupportedMediaType))
"""The codes of the same. An error with another code is a rule that the document cannot express."""
_MULTIPART: Final = "multipart/form-data"
_RESPONSE_CHECKS: Final = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


class Fault(Struct, frozen=True):
    operation: str
    title: str
    message: str
    request: str

    def __str__(self) -> str:
        return f"{self.operation}: {self.title}\n{self.message.strip()}\n{self.request}"


def closed(document: Schema) -> Schema:
    """The document without undocumented fields: the objects of successful responses have no others.

    An object that a request may contain too stays as it is.
    """
    document = deepcopy(document)
    schemas = document["components"]["schemas"]
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    successes = [
        response for operation in operations for status, response in operation["responses"].items() if status < "400"
    ]
    requests = [[operation.get("requestBody"), operation["parameters"]] for operation in operations]
    for name in _used(successes, schemas) - _used(requests, schemas):
        if "properties" in schemas[name]:
            schemas[name].setdefault("additionalProperties", False)
    return document


def _used(part: Any, schemas: Schema) -> set[str]:
    used, pending = set[str](), refs_in(part)
    while pending:
        used |= pending
        pending = refs_in([schemas[name] for name in pending]) - used
    return used


def failure_filter(rules: Collection[str]) -> Callable[[HookContext, Failure, Case[Any], Response], bool]:
    """A hook that drops what is no fault.

    A valid request may break a rule which the document cannot express: the error has its own code, or the operation is
    in ``rules``, or it receives a file. A part of a created resource, as the file of a report, may come later. Another
    method may be rejected for another reason than itself.
    """

    def filter_failure(context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:  # noqa: ARG001  # the signature of the hook
        operation = case.operation
        if isinstance(failure, RejectedPositiveData):
            has_rules = operation.label in rules or case.media_type == _MULTIPART
            return not has_rules and _error_code(response) in _FORMAT_CODES
        if isinstance(failure, EnsureResourceAvailability):
            return bool(operation.path.endswith("}"))
        return not isinstance(failure, UnsupportedMethodResponse) or response.status_code not in REJECTIONS

    return filter_failure


def faults_of(recorder: ScenarioRecorder) -> Iterator[Fault]:
    """What Schemathesis has found, and errors that the document does not have."""
    for case_id, results in recorder.checks.items():
        label = recorder.cases[case_id].value.operation.label
        for result in results:
            if result.status == Status.FAILURE and result.failure_info is not None:
                failure = result.failure_info.failure
                yield Fault(label, failure.title, failure.message, result.failure_info.code_sample)
    for case_id, node in recorder.cases.items():
        response = recorder.find_response(case_id=case_id)
        if response is not None and (message := _wrong_error(node.value.operation, response)):
            sample = node.value.as_curl_command(headers=dict(response.request.headers))
            yield Fault(node.value.operation.label, "Undocumented error", message, sample)


def faults_in(response: httpx.Response, operation: APIOperation[Any, Any, Any, Any]) -> Iterator[Fault]:
    """What is wrong with one response of the operation."""
    case = operation.Case(path_parameters={each.name: "any" for each in operation.path_parameters})
    request = f"{response.request.method} {response.request.url}"
    try:
        case.validate_response(response, checks=_RESPONSE_CHECKS)
    except FailureGroup as group:
        for failure in group.exceptions:
            yield Fault(operation.label, failure.title, failure.message, request)
    if message := _wrong_error(operation, Response.from_any(response)):
        yield Fault(operation.label, "Undocumented error", message, request)


def _wrong_error(operation: APIOperation[Any, Any, Any, Any], response: Response) -> str | None:
    """Every error has the media type of the documented errors, and one of the codes of its status."""
    if response.status_code < 400:
        return None
    documented = operation.definition.raw["responses"].get(str(response.status_code), {}).get("content")
    contents = [documented] if documented else _error_contents(operation.schema.raw_schema)
    media_types = {media_type for content in contents for media_type in content}
    sent = "".join(response.headers.get("content-type", [])).partition(";")[0]
    if sent not in media_types:
        return f"Received: {response.status_code} {sent}\nDocumented: {', '.join(sorted(media_types))}"
    examples = (documented or {}).get(sent, {}).get("examples", {})
    codes = {example["value"]["code"] for example in examples.values() if "code" in example["value"]}
    code = _error_code(response)
    if codes and code not in codes:
        return f"Received: {response.status_code} {code}\nDocumented: {', '.join(sorted(codes))}"
    return None


def _error_contents(document: Any) -> list[dict[str, Any]]:
    """The contents of all errors: a status that no operation has, as 405, has one of their media types."""
    return [
        response.get("content", {})
        for methods in document["paths"].values()
        for operation in methods.values()
        for status, response in operation["responses"].items()
        if status >= "400"
    ]


def _error_code(response: Response) -> str | None:
    try:
        body = json.loads(response.content)
    except ValueError:
        return None
    return body.get("code") if isinstance(body, dict) else None
