"""Documents are parsed and validated once, hostile ones are refused cheaply, and trusted ones are found by hash."""

import asyncio
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median
from time import process_time_ns

import pytest

from graphql_app import create_app
from hostile_documents import KINDS, hostile_documents
from restwell import App
from restwell.errors import AppError, ConfigurationError
from restwell.graphql import GraphQLServer, _documents
from restwell.graphql._documents import Documents, find_faults, hash_of, read_trusted, write_trusted
from restwell.settings import GraphqlSettings, RateLimitSettings, Settings
from restwell.testing import running
from scoreboard import Score

BOOK = "{ book(bookId: 1) { id } }"
MAX_NS = 1_000_000


def documents_of(app: App) -> Documents:
    return app.service(GraphQLServer).documents


def test_a_document_is_parsed_and_validated_once(unstarted: App) -> None:
    """Fails if a known document is parsed again."""
    documents = documents_of(unstarted)
    first = documents.find(BOOK, None)
    documents.validate(first)
    assert documents.find(BOOK, None) is first


def test_an_invalid_document_is_not_kept(unstarted: App) -> None:
    documents = documents_of(unstarted)
    wrong = documents.find("{ book { id } }", None)
    with pytest.raises(AppError, match="bookId"):
        documents.validate(wrong)
    assert documents.find("{ book { id } }", None) is not wrong


def test_the_oldest_document_is_forgotten(unstarted: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if clients that send ever new documents fill the memory."""
    monkeypatch.setattr(_documents, "MAX_CACHED", 2)
    documents = documents_of(unstarted)
    texts = [f"{{ book(bookId: {number}) {{ id }} }}" for number in range(3)]
    known = []
    for text in (texts[0], texts[1], texts[0], texts[2]):
        known.append(documents.find(text, None))
        documents.validate(known[-1])
    assert documents.find(texts[0], None) is known[0]
    assert documents.find(texts[1], None) is not known[1]


def test_a_syntax_error_names_its_line(unstarted: App) -> None:
    with pytest.raises(AppError, match=r"Syntax Error.*\(line 2\)"):
        documents_of(unstarted).find("{\n book(bookId:) { id } }", None)


@pytest.mark.slow
@pytest.mark.scoreboard(
    "G2", "10,000 hostile GraphQL documents", "refused <= 1 ms CPU each (median), 0 x 5xx", backend="SQLite"
)
async def test_hostile_documents_are_refused_in_less_than_a_millisecond(filled: Settings, score: Score) -> None:
    """Fails if documents are validated before their depth, aliases and cost are known: that takes longer.

    The processor time is that of the checks; each document is sent to the application as well.
    """
    count = score.size(20, 527)
    app = create_app(filled.model_copy(update={"rate_limit": RateLimitSettings(scale=0)}))
    taken = defaultdict(list)
    statuses = Counter[int]()
    async with running(app) as client:
        server = app.service(GraphQLServer)
        for kind, text in hostile_documents(count * len(KINDS)):
            await asyncio.sleep(0)  # no request here waits for anything: together they would block the event loop
            start = process_time_ns()
            try:
                document = server.documents.find(text, None)
                server.costs_of(document.plan(None), {})
                server.documents.validate(document)
            except AppError:
                taken[kind].append(process_time_ns() - start)
            statuses[(await client.post("/graphql", json={"query": text})).status_code] += 1
    assert {kind: len(each) for kind, each in taken.items()} == {kind.__name__: count for kind in KINDS}
    assert statuses == {400: count * len(KINDS)}
    medians = {kind: median(each) for kind, each in taken.items()}
    common = median([each for times in taken.values() for each in times])
    assert common < MAX_NS
    assert sorted(kind for kind, each in medians.items() if each > 3 * MAX_NS) in ([], ["long_list"])
    worst = max(medians, key=medians.__getitem__)
    score.note(
        f"{statuses.total():,} of {len(KINDS)} kinds answered 400; the median takes {common / MAX_NS:.2f} ms,"
        f" that of {worst.replace('_', ' ')} {medians[worst] / MAX_NS:.1f} ms"
    )


async def test_trusted_documents_run_by_their_hash(filled: Settings, tmp_path: Path) -> None:
    """Fails if another document runs, or if the text of a trusted one does not."""
    file = tmp_path / "documents.json"
    write_trusted(file, {hash_of(BOOK): BOOK})
    strict = filled.model_copy(update={"graphql": GraphqlSettings(documents="trusted")})
    async with running(create_app(strict, documents=file)) as client:
        apollo = {"persistedQuery": {"version": 1, "sha256Hash": hash_of(BOOK)}}
        for body in (
            {"documentId": f"sha256:{hash_of(BOOK)}"},
            {"documentId": hash_of(BOOK)},
            {"extensions": apollo},
            {"query": BOOK},
        ):
            answer = await client.post("/graphql", json=body)
            assert answer.json() == {"data": {"book": {"id": 1}}}
        for body in ({"query": f"{BOOK} "}, {"documentId": hash_of("{ a }")}):
            answer = await client.post("/graphql", json=body)
            assert answer.json()["errors"][0]["extensions"]["code"] == "document_not_trusted"


@pytest.mark.parametrize("content", ["{", '{"a": 1}', '{"00": "{ a }"}'])
def test_a_file_of_documents_that_was_changed_by_hand_is_an_error(tmp_path: Path, content: str) -> None:
    """Fails if a document runs by the hash of another."""
    file = tmp_path / "documents.json"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match="restwell graphql persist"):
        read_trusted(file)


def test_without_a_file_no_document_is_trusted(tmp_path: Path) -> None:
    assert read_trusted(None) == read_trusted(tmp_path / "none.json") == {}


def test_faults_name_the_document(unstarted: App) -> None:
    found = find_faults(documents_of(unstarted), {"a.graphql": BOOK, "b.graphql": "{ nothing }"})
    assert found == ["b.graphql: Query has no field nothing."]
