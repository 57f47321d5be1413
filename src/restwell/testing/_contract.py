"""Contract tests: generated requests to every operation of an application, whose responses must fit its document."""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field

from restwell._application import App
from restwell._extras import needs_extra
from restwell.testing._contract_app import CallerFunction, ContractApp, contract_app
from restwell.testing._contract_faults import REJECTIONS, Fault, closed, failure_filter, faults_in, faults_of
from restwell.web._openapi_schemas import Schema

with needs_extra("contract", "restwell.testing.contract_tests"):
    import httpx
    from schemathesis import HookContext, openapi
    from schemathesis.config import SchemathesisConfig
    from schemathesis.engine import events, from_schema
    from schemathesis.engine.recorder import ScenarioRecorder
    from schemathesis.specs.openapi.schemas import OpenApiSchema

SHOWN_FAULTS: Final = 20


class ContractReport(Struct):
    """What was sent: the number of responses by operation, as ``GET /v1/notes``, and by status."""

    responses: dict[str, Counter[int]] = field(default_factory=dict)

    @property
    def cases(self) -> int:
        """The number of requests."""
        return sum(counter.total() for counter in self.responses.values())

    @property
    def never_successful(self) -> list[str]:
        """The operations without a 2xx or 3xx response. Add a journey for each: only its errors were tested."""
        return [
            operation
            for operation, counter in self.responses.items()
            if not any(200 <= status < 400 for status in counter)
        ]


def contract_tests(
    app: App,
    *,
    sign_in: Sequence[CallerFunction] = (),
    journeys: Sequence[CallerFunction] = (),
    rules: Collection[str] = (),
    examples: int = 10,
    seed: int = 0,
    seconds: float = 300,
) -> ContractReport:
    """Send generated requests to every operation, and check the responses against the OpenAPI documents.

    No response is a 5xx. Each has a documented status, media type, headers and schema, and each error a documented
    code. Requests that do not fit the document are rejected, and others are not rejected as such. An operation that
    requires credentials rejects requests without. Other methods are a 405. Links between operations are followed.

    ``sign_in``: functions that sign in a caller, each of which sends all requests. ``journeys``: functions that send
    requests which cannot be generated, such as one with a code from a mail; their responses are checked too.
    ``rules``: operations, as ``POST /v1/orders``, that may reject what fits the document with the code ``invalid``.
    ``examples``: the number of random requests for each operation; boundary values are added. A run with the same
    ``seed`` has the same requests.

    The app must not be running. Use a database of the test: SQLite is restored, others are not. Raises AssertionError
    with a request for each fault, or if the tests take longer than ``seconds``.
    """
    run = _Run(app, rules, examples, seed, time.monotonic() + seconds)
    with contract_app(app) as started:
        callers: Sequence[CallerFunction | None] = sign_in or (None,)
        for caller in callers:
            started.start_as(caller)
            for document in app.documents.values():
                run.explore(started, document)
        run.raise_faults()
        started.start_as(None)
        for journey in journeys:
            run.follow(started.travel(journey), app.documents.values())
    run.raise_faults()
    return run.report


class _Run:
    def __init__(self, app: App, rules: Collection[str], examples: int, seed: int, ends_at: float) -> None:
        operations = {
            f"{method.upper()} {path}"
            for document in app.documents.values()
            for path, methods in document["paths"].items()
            for method in methods
        }
        if unknown := set(rules) - operations:
            raise ValueError(f"rules: no operation of the application: {', '.join(sorted(unknown))}")
        self.report = ContractReport({each: Counter() for each in sorted(operations)})
        self.faults: dict[tuple[str, str], Fault] = {}
        self._rules = rules
        self._examples = examples
        self._seed = seed
        self._ends_at = ends_at

    def explore(self, app: ContractApp, document: Schema) -> None:
        """All phases of Schemathesis: examples, boundary values, random values, sequences along the links."""
        schema = self._schema(document, app.headers)
        schema.app = app
        stream = from_schema(schema).execute()
        for event in stream:
            if isinstance(event, events.FatalError):
                raise event.exception
            if isinstance(event, events.NonFatalError):
                self._add([Fault(event.label, event.info.title, event.info.message, "")])
            elif isinstance(event, events.ScenarioFinished):
                self._record(event.recorder)
            if time.monotonic() > self._ends_at:
                stream.stop()
                raise AssertionError(
                    f"the contract tests were stopped after {self.report.cases} requests: raise seconds=, or lower "
                    f"examples="
                )

    def follow(self, responses: Iterable[httpx.Response], documents: Iterable[Schema]) -> None:
        """Check the responses of a journey."""
        schemas = [self._schema(document, {}) for document in documents]
        for response in responses:
            method, path = response.request.method, response.request.url.path
            operation = next(filter(None, (schema.find_operation_by_path(method, path) for schema in schemas)), None)
            if operation is not None:
                self.report.responses[operation.label][response.status_code] += 1
                self._add(faults_in(response, operation))

    def raise_faults(self) -> None:
        if self.faults:
            shown = "\n\n".join(map(str, list(self.faults.values())[:SHOWN_FAULTS]))
            raise AssertionError(
                f"{len(self.faults)} faults in {self.report.cases} requests, seed {self._seed}:\n\n{shown}"
            )

    def _schema(self, document: Schema, headers: Mapping[str, str]) -> OpenApiSchema:
        config = {
            "seed": self._seed,
            "headers": dict(headers),
            "workers": 1,
            "max-redirects": 0,
            "continue-on-failure": True,
            "suppress-health-check": ["all"],  # of the generator, which filters long texts: no fault of the application
            "cache": {"enabled": False},
            "generation": {"max-examples": self._examples, "database": "none", "with-security-parameters": False},
            "phases": {"stateful": {"inference": {"algorithms": []}}},
            "checks": {
                "negative_data_rejection": {"expected-statuses": list(REJECTIONS)},
                "missing_required_header": {"expected-statuses": list(REJECTIONS)},
            },
        }
        schema = openapi.from_dict(closed(document), config=SchemathesisConfig.from_dict(config))
        schema.hook(failure_filter(self._rules))
        schema.hook("map_body")(_with_integers)
        return schema

    def _record(self, recorder: ScenarioRecorder) -> None:
        for case_id, node in recorder.cases.items():
            interaction, operation = recorder.interactions.get(case_id), node.value.operation
            if interaction is None or interaction.response is None:
                continue
            if interaction.request.method == operation.method.upper():
                self.report.responses[operation.label][interaction.response.status_code] += 1
        self._add(faults_of(recorder))

    def _add(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            self.faults.setdefault((fault.operation, fault.title), fault)


def _with_integers(context: HookContext, body: Any) -> Any:
    """JSON Schema accepts 1.0 as an integer, and the application does not."""
    if isinstance(body, float) and body.is_integer():
        return int(body)
    if isinstance(body, dict):
        return {key: _with_integers(context, each) for key, each in body.items()}
    return [_with_integers(context, each) for each in body] if isinstance(body, list) else body
