"""Each alert fires when it should and only then, and its entry in the runbook says what to do."""

import json
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from restwell._dashboards import RUNBOOK
from restwell._dashboards._alerts import ALERTS, Alert, rules
from restwell.auth._login_failures import LOGIN_FAILURES
from restwell.cache._metrics import COUNTERS as CACHE
from restwell.database._metrics import POOL_COUNTERS, POOL_GAUGES, QUERY_DURATION
from restwell.edge._concurrency_limiter import SHED
from restwell.edge._request_metrics import ACTIVE, CALL_DURATION, DURATION
from restwell.events._metrics import FAILING, OLDEST_UNREAD
from restwell.jobs._metrics import BACKLOG, OLDEST_READY
from restwell.observability._log_output import LINES_DROPPED
from restwell.observability._watchdog import BLOCKED_SECONDS
from restwell.rate_limits._limiter import DEGRADED
from servers import ROOT

MINUTES = 30
PARTS = ("Symptom", "Meaning", "Look at", "Do")


class Case(NamedTuple):
    """Series as ``labels: values`` in promtool's notation, with which the alert fires, and with which it does not."""

    firing: dict[str, str]
    quiet: dict[str, str]


def requests(**by_status: int) -> dict[str, str]:
    """So many requests per minute with these status classes."""
    series = f'{DURATION.name}_count{{job="shop",http_route="/v1/orders",http_response_status_class="%s"}}'
    return {series % status[1:]: f"0+{count}x{MINUTES}" for status, count in by_status.items()}


def calls(**by_code: int) -> dict[str, str]:
    """So many calls of gRPC per minute with these codes."""
    series = f'{CALL_DURATION.name}_count{{job="shop",rpc_method="a/b",rpc_response_status_code="%s"}}'
    return {series % code: f"0+{count}x{MINUTES}" for code, count in by_code.items()}


def buckets(name: str, labels: str, fast: int, slow: int) -> dict[str, str]:
    """So many observations per minute below half a second, and between one and five."""
    counts = {"0.5": fast, "1.0": fast, "5.0": fast + slow, "+Inf": fast + slow}
    return {
        f'{name}_bucket{{job="shop",{labels},le="{limit}"}}': f"0+{count}x{MINUTES}" for limit, count in counts.items()
    }


def one(name: str, firing: str, quiet: str, labels: str = "") -> Case:
    series = f'{name}{{job="shop"{labels}}}'
    return Case({series: firing}, {series: quiet})


GROWING, FLAT = f"0+60x{MINUTES}", f"7+0x{MINUTES}"
ROUTE, QUERY, SERVER, QUEUE, CONSUMER = (
    'http_route="/v1/orders"',
    'db_query_summary="orders.list"',
    ',server="primary"',
    ',queue="mail"',
    ',consumer="search_index"',
)
READS = {f'{CACHE[name].name}{{job="shop",name="products"}}': FLAT for name in ("hits", "shared_hits", "loads")}
BYPASSES = f'{CACHE["bypasses"].name}{{job="shop",name="products"}}'
READY, DEAD = (f'{BACKLOG.name}{{job="shop",queue="mail",state="{state}"}}' for state in ("ready", "dead"))
CASES = {
    "RestwellNoMetrics": Case({}, {f'{ACTIVE.name}{{job="shop"}}': f"0+0x{MINUTES}"}),
    "RestwellErrors": Case(requests(_2xx=90, _5xx=10), requests(_2xx=99, _5xx=1, _4xx=50)),
    "RestwellGrpcErrors": Case(calls(OK=90, UNAVAILABLE=10), calls(OK=99, INTERNAL=1, NOT_FOUND=50)),
    "RestwellSlowRequests": Case(buckets(DURATION.name, ROUTE, 90, 10), buckets(DURATION.name, ROUTE, 98, 2)),
    "RestwellDatabaseUnavailable": one(POOL_GAUGES["breaker_open"].name, f"1+0x{MINUTES}", f"0+0x{MINUTES}", SERVER),
    "RestwellConnectionsExhausted": one(POOL_COUNTERS["wait_timeouts"].name, GROWING, FLAT, SERVER),
    "RestwellSlowQuery": Case(buckets(QUERY_DURATION.name, QUERY, 90, 10), buckets(QUERY_DURATION.name, QUERY, 98, 2)),
    "RestwellOverloaded": one(SHED.name, GROWING, FLAT, ',kind="reads"'),
    "RestwellEventLoopBlocked": one(BLOCKED_SECONDS.name, f"0+6x{MINUTES}", f"0+1x{MINUTES}"),
    "RestwellJobsWaiting": one(OLDEST_READY.name, f"0+60x{MINUTES}", f"200+0x{MINUTES}", QUEUE),
    "RestwellJobsDead": Case({READY: FLAT, DEAD: f"1+0x{MINUTES}"}, {READY: FLAT}),
    "RestwellEventsWaiting": one(OLDEST_UNREAD.name, f"0+60x{MINUTES}", f"200+0x{MINUTES}", CONSUMER),
    "RestwellEventsFailing": one(FAILING.name, f"1+0x{MINUTES}", f"0+0x{MINUTES}", CONSUMER),
    "RestwellCacheBypassed": Case({**READS, BYPASSES: GROWING}, {**READS, BYPASSES: FLAT}),
    "RestwellRateLimitsDegraded": one(DEGRADED.name, f"2+0x{MINUTES}", f"0+0x{MINUTES}"),
    "RestwellLoginFailures": one(LOGIN_FAILURES.name, f"0+120x{MINUTES}", f"0+30x{MINUTES}", ',reason="password"'),
    "RestwellLogLinesDropped": one(LINES_DROPPED.name, GROWING, FLAT),
}


def test_every_alert_has_a_case() -> None:
    assert CASES.keys() == {alert.name for alert in ALERTS}


@pytest.mark.integration
def test_promtool_accepts_the_rules(promtool: str, tmp_path: Path) -> None:
    path = tmp_path / "restwell.rules.yml"
    path.write_text(rules(RUNBOOK))
    checked = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"SUCCESS: {len(ALERTS)} rules found" in checked.stdout


@pytest.mark.integration
def test_each_alert_fires_when_it_should_and_is_quiet_otherwise(promtool: str, tmp_path: Path) -> None:
    """Breaks when a threshold is wrong, a label is lost in an aggregation, or a series is missing while all is well."""
    (tmp_path / "restwell.rules.yml").write_text(rules(RUNBOOK))
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": series, "values": values} for series, values in given.items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)',
                    "eval_time": f"{MINUTES}m",
                    "exp_samples": [{"labels": "{}", "value": expected}],
                }
            ],
        }
        for name, case in CASES.items()
        for given, expected in ((case.firing, 1), (case.quiet, 0))
    ]
    suite = tmp_path / "tests.yml"  # JSON is YAML
    suite.write_text(json.dumps({"rule_files": ["restwell.rules.yml"], "evaluation_interval": "1m", "tests": tests}))
    tested = subprocess.run([promtool, "test", "rules", suite], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_links_to_an_entry_of_the_runbook_that_says_what_to_do(alert: Alert) -> None:
    """Breaks when an alert is added or renamed without its entry."""
    found = re.search(rf'alert: {alert.name}\n(?:.*\n)*?.*runbook_url: "(.*)#(.*)"', rules(RUNBOOK))
    assert found is not None
    entries = re.split(r"^## ", (ROOT / found[1]).read_text(), flags=re.MULTILINE)[1:]
    by_anchor = {entry.partition("\n")[0].lower(): entry for entry in entries}
    assert re.findall(r"^- \*\*(.*):\*\*", by_anchor[found[2]], re.MULTILINE) == list(PARTS)


def test_the_runbook_has_no_entry_without_an_alert() -> None:
    headings = re.findall(r"^## (.*)", (ROOT / RUNBOOK).read_text(), re.MULTILINE)
    assert headings == [alert.name for alert in ALERTS]
