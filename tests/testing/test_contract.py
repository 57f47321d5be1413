"""The contract tests find planted bugs, and none in the kit's own applications."""

import asyncio
import sys
import time
from pathlib import Path

import pytest

import planted_bugs
import restwell.testing
from account_journeys import account_journeys
from accounts_app import PASSWORD
from contract_apps import MARK, assert_most_succeed, migrate, variables
from restwell import App
from restwell.errors import ConfigurationError
from restwell.settings import Settings
from restwell.testing import ApiClient, MailBox, OpenIdProvider, contract_tests
from scoreboard import Score

SMALL_BUGS = ("undocumented-status", "undocumented-field", "crash", "missing-authentication", "ignored-bound")


async def admin(caller: ApiClient) -> None:
    await caller.sign_in("admin@app.example", PASSWORD)


async def member(caller: ApiClient) -> None:
    await caller.sign_in("member@app.example", PASSWORD)


def planted(folder: Path, bug: str = "") -> App:
    folder.mkdir()
    app = planted_bugs.create_app(Settings.load(variables(folder)), bug)
    asyncio.run(migrate(app))
    return app


@pytest.mark.slow
@pytest.mark.scoreboard("A7", "generated requests to accounts", MARK, backend="SQLite")
def test_no_generated_request_breaks_the_contract_of_accounts(
    accounts: App, tmp_path: Path, provider: OpenIdProvider, score: Score
) -> None:
    """Breaks with generations of the cache from ``random``: a revoked session is accepted, and gets a 404."""
    mail_box = MailBox(tmp_path / "mails")
    names = {"admin": "admin@app.example", "member": "member@app.example", "password": PASSWORD}
    report = contract_tests(
        accounts,
        sign_in=score.size([admin], [admin, member]),
        journeys=account_journeys(accounts, mail_box, provider, **names),
        examples=score.size(1, 100),
        seconds=3_000,
    )
    score.note(f"{report.cases} requests")
    assert_most_succeed(accounts, report, score)


@pytest.mark.slow
@pytest.mark.scoreboard("A7", "20 planted bugs", "each found within 120 s", backend="SQLite")
def test_planted_bugs_are_found(tmp_path: Path, score: Score) -> None:
    missed, seconds = [], []
    bugs = score.size(SMALL_BUGS, tuple(planted_bugs.BUGS))
    for bug in bugs:
        app = planted(tmp_path / bug, bug)
        started = time.monotonic()
        try:
            contract_tests(app, sign_in=[planted_bugs.sign_in], examples=5, seconds=120)
        except AssertionError as error:
            if planted_bugs.BUGS[bug] not in str(error):
                missed.append(f"{bug}: {error}")
        else:
            missed.append(bug)
        seconds.append(time.monotonic() - started)
    score.note(f"{len(bugs) - len(missed)} of {len(bugs)} found, the slowest after {max(seconds):.0f} s")
    assert not missed, "\n\n".join(missed)
    assert max(seconds) < 120


@pytest.mark.slow
def test_an_application_without_bugs_has_no_faults_and_the_same_seed_the_same_requests(tmp_path: Path) -> None:
    reports = []
    for name in ("one", "two"):
        app = planted(tmp_path / name)
        reports.append(contract_tests(app, sign_in=[planted_bugs.sign_in], examples=3, seed=7))
    assert not reports[0].never_successful
    assert reports[0].responses == reports[1].responses


def test_an_unknown_operation_in_rules_is_an_error(tmp_path: Path) -> None:
    app = planted(tmp_path / "app")
    with pytest.raises(ValueError, match="rules: no operation of the application: GET /v1/nothing"):
        contract_tests(app, rules=["GET /v1/nothing"])


@pytest.mark.slow
def test_tests_that_take_too_long_are_stopped_with_an_error(tmp_path: Path) -> None:
    app = planted(tmp_path / "app")
    with pytest.raises(AssertionError, match="were stopped after 0 requests: raise seconds=, or lower examples="):
        contract_tests(app, seconds=0)


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("restwell.testing._contract")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "schemathesis", None)
    line = r"contract_tests: schemathesis is not installed: pip install 'restwell\[contract\]'"
    with pytest.raises(ConfigurationError, match=line):
        _ = restwell.testing.contract_tests
