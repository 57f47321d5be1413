"""GraphQL answers as the routes do: their guards, rate limits, idempotency keys and problems."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from graphql_app import GUESSES, Books, create_app, library
from restwell import App, Restwell
from restwell.graphql import Limits
from restwell.settings import GraphqlSettings, RateLimitSettings, Settings
from restwell.testing import ApiClient, Caller, access_table, check_access, running

JSON = "application/json"
OWN = "application/graphql-response+json"
REVIEW = "mutation($input: ReviewRequest!) { addReview(input: $input) { id text bookIds } }"


def errors_of(answer: httpx.Response) -> list[tuple[Any, ...]]:
    return [
        (tuple(each.get("path", ())), each["extensions"]["code"], each["extensions"]["status"])
        for each in answer.json()["errors"]
    ]


async def test_pages_are_connections_with_the_cursors_of_the_routes(ask: Any, client: httpx.AsyncClient) -> None:
    """Fails if a cursor of GraphQL is not one of the route."""
    text = "query($after: String) { books(first: 2, after: $after) { nodes { id } edges { cursor node { id } } %s } }"
    info = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
    first = (await ask(text % info)).json()["data"]["books"]
    assert first["nodes"] == [{"id": 1}, {"id": 2}]
    end = first["pageInfo"].pop("endCursor")
    assert first["pageInfo"] == {"hasNextPage": True, "hasPreviousPage": False, "startCursor": None}
    assert [(each["cursor"], each["node"]["id"]) for each in first["edges"]] == [(None, 1), (end, 2)]
    second = (await ask(text % info, variables={"after": end})).json()["data"]["books"]
    assert (second["nodes"][0], second["pageInfo"]["hasPreviousPage"]) == ({"id": 3}, True)
    route = (await client.get("/books", params={"limit": 2, "cursor": end})).json()
    assert [each["id"] for each in route["items"]] == [3, 4]


async def test_nested_reads_of_a_list_are_one_statement(ask: Any, library_app: App) -> None:
    """Fails if relations are awaited one after the other: the fixture counts each query of a request.

    Breaks when the resolver of a relation does not run together with those of the other rows.
    """
    answer = await ask("{ books(first: 20) { nodes { text author { text } } } }")
    books = answer.json()["data"]["books"]["nodes"]
    assert [each["author"]["text"] for each in books][:3] == ["book 2", "book 3", "book 4"]
    assert len(books) == 20
    assert not library_app.query_budget.violations


async def test_each_field_adds_the_query_budget_of_its_route(ask: Any) -> None:
    """Fails if a document with two lists has the budget of one: the fixture reports each exceeded budget."""
    answer = await ask("{ a: books(first: 1) { nodes { id } } b: books(first: 2) { nodes { id } } }")
    assert [len(each["nodes"]) for each in answer.json()["data"].values()] == [1, 2]


async def test_a_guard_of_any_field_refuses_the_whole_document_before_it_runs(ask: Any) -> None:
    """Fails if guards run with their field, and if those of relations do not run at all."""
    mixed = "{ book(bookId: 1) { id } hidden { role } }"
    for token, status, code in (
        ("", 401, "unauthorized"),
        ("guest", 403, "forbidden"),
        ("unknown", 401, "unauthorized"),
    ):
        answer = await ask(mixed, token)
        assert (answer.status_code, errors_of(answer)) == (status, [((), code, status)])
        assert "data" not in answer.json()
    assert "www-authenticate" in (await ask(mixed)).headers
    assert (await ask(mixed, "owner")).json()["data"]["hidden"] == {"role": "owner"}
    relation = "{ books(first: 1) { nodes { ...f } } } fragment f on Book { reader }"
    assert (await ask(relation)).status_code == 401
    assert (await ask(relation, "guest")).json()["data"]["books"]["nodes"] == [{"reader": "guest reads 1"}]


async def test_errors_of_fields_are_problems_and_the_other_fields_have_data(ask: Any) -> None:
    """Fails if an unexpected exception, or a value of it, leaves the server."""
    with capture_logs() as lines:
        answer = await ask("{ broken { id } missing: book(bookId: 999) { id } found: book(bookId: 2) { id } }")
    assert answer.status_code == 200
    assert sorted(errors_of(answer)) == [(("broken",), "internal_error", 500), (("missing",), "not_found", 404)]
    assert answer.json()["data"] == {"broken": None, "missing": None, "found": {"id": 2}}
    assert "hunter2" not in answer.text
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["unhandled_exception"]


async def test_values_are_checked_as_in_a_request_to_the_route(ask: Any) -> None:
    answer = await ask("{ books(first: 101, minId: -1, after: null) { nodes { id } } }")
    assert errors_of(answer) == [(("books",), "invalid", 422)]
    found = answer.json()["errors"][0]["extensions"]["errors"]
    assert {each["path"] for each in found} == {"first", "minId"}
    answer = await ask(REVIEW, "owner", {"idempotency-key": "a"}, variables={"input": {"text": "", "bookIds": [1] * 4}})
    found = answer.json()["errors"][0]["extensions"]["errors"]
    assert [each["path"] for each in found] == ["$.text", "$.bookIds"]
    assert errors_of(await ask('{ books(after: "x") { nodes { id } } }')) == [(("books",), "invalid_cursor", 400)]
    assert errors_of(await ask('{ book(bookId: "a/b") { id } }')) == [(("book",), "not_found", 404)]


async def test_variables_that_do_not_fit_are_a_422(ask: Any) -> None:
    for variables in ({"n": "x"}, {"n": 10**12}):
        answer = await ask("query($n: Int) { books(first: $n) { nodes { id } } }", variables=variables)
        assert (answer.status_code, errors_of(answer)) == (422, [((), "invalid", 422)])


async def test_a_mutation_with_the_same_key_has_the_same_result_once(ask: Any, client: httpx.AsyncClient) -> None:
    """Fails if the key is not stored with the result, or if the fields that are asked for belong to the key."""
    sent = {"variables": {"input": {"text": "good"}}, "headers": {"idempotency-key": "k"}}
    first = await ask(REVIEW, "owner", **sent)
    again = await ask(REVIEW.replace(" bookIds", ""), "owner", **sent)
    assert first.json()["data"]["addReview"] == {"id": 31, "text": "good", "bookIds": []}
    assert again.json()["data"]["addReview"] == {"id": 31, "text": "good"}
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    other = await ask(REVIEW, "owner", {"idempotency-key": "k"}, variables={"input": {"text": "other"}})
    assert errors_of(other) == [(("addReview",), "idempotency_key_reused", 422)]
    route = await client.post(
        "/books/reviews", json={"text": "good"}, headers={"authorization": "Bearer owner", "idempotency-key": "k"}
    )
    assert route.json()["code"] == "idempotency_key_reused"
    without = await ask(REVIEW, "owner", variables={"input": {"text": "good"}})
    assert errors_of(without) == [(("addReview",), "idempotency_key_required", 400)]


async def test_a_failed_mutation_changes_nothing_and_frees_its_key(ask: Any) -> None:
    for text, code in (("taken", "taken"), ("fine", None)):
        answer = await ask(REVIEW, "owner", {"idempotency-key": "k"}, variables={"input": {"text": text}})
        assert (errors_of(answer)[0][1] if code else answer.json()["data"]["addReview"]["text"]) == (code or text)


async def test_clients_get_the_media_type_that_they_accept(ask: Any) -> None:
    for accept, expected in (("*/*", OWN), (JSON, JSON), (f"{OWN}, {JSON};q=0.9", OWN)):
        assert (await ask("{ book(bookId: 1) { id } }", headers={"accept": accept})).headers["content-type"] == expected
    assert (await ask("{")).headers["content-type"] == OWN


async def test_the_route_refuses_other_bodies_in_the_form_of_graphql(client: httpx.AsyncClient) -> None:
    form = await client.post("/graphql", data={"query": "{ a }"})
    assert (form.status_code, errors_of(form)) == (415, [((), "unsupported_media_type", 415)])
    assert (await client.post("/graphql", json=[{"query": "{ a }"}])).status_code == 422
    assert (await client.delete("/graphql")).status_code == 405


async def test_a_field_counts_against_the_rate_of_its_route_and_by_its_cost(filled: Settings, tmp_path: Path) -> None:
    """Fails if 10 aliases are one guess, and if a large document counts as a small one."""
    limited = filled.model_copy(
        update={"rate_limit": RateLimitSettings(reads=(20, 60)), "runtime_dir": tmp_path / "own"}
    )
    async with running(create_app(limited, limits=Limits(cost=500, cost_per_request=100))) as client:

        async def remaining(query: str) -> tuple[int, str]:
            answer = await client.post("/graphql", json={"query": query})
            return answer.status_code, answer.headers["ratelimit"].partition(";t=")[0]

        assert await remaining("{ book(bookId: 1) { id } }") == (200, '"reads";r=19')
        assert await remaining("{ a: book(bookId: 1) { id } b: book(bookId: 2) { id } }") == (200, '"reads";r=17')
        assert await remaining("{ books(first: 100) { nodes { author { id } } } }") == (200, '"reads";r=15')
        assert await remaining("{ nothing }") == (400, '"reads";r=14')
        assert GUESSES.count == 3
        guesses = " ".join(f'{name}: guess(word: "{name}")' for name in ("a", "b", "c", "d"))
        assert await remaining(f"{{ {guesses} }}") == (429, '"guesses";r=0')
        route = await client.get("/books/guess?word=e")
        assert (route.status_code, route.json()["code"]) == (429, "rate_limited")
        hidden = await client.post("/graphql", json={"query": "{ hidden { role } }"})
        assert (hidden.status_code, hidden.headers["ratelimit"][:12]) == (401, '"reads";r=13')


async def test_without_rate_limits_nothing_is_counted(filled: Settings) -> None:
    unlimited = filled.model_copy(update={"rate_limit": RateLimitSettings(scale=0)})
    async with running(create_app(unlimited)) as client:
        answer = await client.post("/graphql", json={"query": '{ guess(word: "hello") }'})
        assert (answer.json(), "ratelimit" in answer.headers) == ({"data": {"guess": True}}, False)


async def test_the_access_table_has_what_graphql_offers(library_app: App, client: httpx.AsyncClient) -> None:
    """Fails if an operation without a line, or one with other guards, is not reported."""
    table = re.sub(" {2,}", "  ", access_table(library_app))
    assert table.splitlines()[-8:] == [
        "QUERY  books  anyone",
        "QUERY  book  anyone",
        "QUERY  hidden  owner",
        "QUERY  guess  anyone",
        "QUERY  broken  anyone",
        "MUTATION  addReview  signed in",
        "FIELD  Book.author  anyone",
        "FIELD  Book.reader  signed in",
    ]
    callers = [Caller(ApiClient(client, token), role=token) for token in ("owner", "guest")]
    await check_access(library_app, table, callers)
    weaker = table.replace("MUTATION  addReview  signed in", "MUTATION  addReview  owner")
    with pytest.raises(AssertionError, match=r"MUTATION +addReview +guest +200 instead of 403"):
        await check_access(library_app, weaker, callers)
    with pytest.raises(AssertionError, match=r"FIELD +Book.reader +is not in the table"):
        await check_access(library_app, table.replace("FIELD  Book.reader  signed in", ""), callers)


async def test_production_runs_trusted_documents_only_and_describes_nothing(filled: Settings) -> None:
    """Fails if free documents or introspection are on in production without their setting."""
    production = filled.model_copy(update={"app": filled.app.model_copy(update={"env": "production"})})
    ask_schema = {"query": "{ __schema { queryType { name } } }"}
    async with running(create_app(production)) as client:
        for body, code in (
            ({"query": "{ book(bookId: 1) { id } }"}, "document_not_trusted"),
            (ask_schema, "document_not_trusted"),
            ({"documentId": "sha256:0"}, "document_not_trusted"),
            ({}, "invalid_document"),
        ):
            answer = await client.post("/graphql", json=body)
            assert (answer.status_code, errors_of(answer)[0][1]) == (400, code)
    free = production.model_copy(update={"graphql": GraphqlSettings(documents="any")})
    async with running(create_app(free)) as client:
        assert (await client.post("/graphql", json={"query": "{ book(bookId: 1) { id } }"})).status_code == 200
        assert errors_of(await client.post("/graphql", json=ask_schema))[0][1] == "introspection_disabled"
    async with running(create_app(filled)) as client:
        answer = await client.post("/graphql", json=ask_schema)
        assert answer.json()["data"] == {"__schema": {"queryType": {"name": "Query"}}}


async def test_a_document_with_several_operations_names_one(ask: Any) -> None:
    text = "query a { book(bookId: 1) { id } } query b { book(bookId: 2) { id } }"
    assert (await ask(text, operationName="b")).json()["data"]["book"]["id"] == 2
    for name in (None, "c"):
        answer = await ask(text, operationName=name)
        assert (answer.status_code, errors_of(answer)[0][1]) == (400, "invalid_document")


async def test_operations_are_counted_by_outcome(ask: Any, client: httpx.AsyncClient) -> None:
    """Fails if an operation that was refused or that failed is counted as successful."""
    for text, token in (
        ('{ book(bookId: 1) { id } guess(word: "a") }', ""),
        ("{ book(bookId: 999) { id } }", ""),
        ("{ hidden { role } }", ""),
        ("{ nothing }", ""),
        ("{ a", ""),
    ):
        await ask(text, token)
    for _ in range(2):
        await ask(REVIEW, "owner", {"idempotency-key": "k"}, variables={"input": {"text": "good"}})
    found = {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in (await client.get("/metrics")).text.splitlines())
        if name.startswith("restwell_graphql_")
    }
    operations = {tuple(re.findall('"(.*?)"', name)): value for name, value in found.items() if "operations" in name}
    assert operations == {
        ("QUERY", "book", "ok"): 1,
        ("QUERY", "guess", "ok"): 1,
        ("QUERY", "book", "error"): 1,
        ("QUERY", "hidden", "refused"): 1,
        ("MUTATION", "addReview", "ok"): 1,
        ("MUTATION", "addReview", "replayed"): 1,
    }
    assert found['restwell_graphql_documents_refused_total{code="invalid_document"}'] == 2


async def test_the_schema_of_an_application_is_its_own(filled: Settings) -> None:
    """Fails if the feature keeps the server of its first application."""
    feature = library()
    first, second = (Restwell(filled, name=name).app([Books, feature], authenticate=_refuse) for name in ("a", "b"))
    assert first.transports[0] is not second.transports[0]


async def _refuse(token: str) -> Any:
    raise AssertionError(token)
