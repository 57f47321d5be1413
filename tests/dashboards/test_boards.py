"""What the dashboards show. ``shop/tests/system/test_dashboards.py`` runs each query in a real Prometheus."""

import re

import pytest

from metrics_table import definitions
from restwell._dashboards._boards import BOARDS, Board


def expressions(board: Board) -> list[str]:
    return [query.expression for panel in board.panels for query in panel.queries]


def test_there_is_a_dashboard_for_requests_database_cache_jobs_and_limits() -> None:
    assert [board.name for board in BOARDS] == ["requests", "database", "cache", "jobs", "limits"]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_each_query_selects_the_application_and_uses_the_window_of_grafana(board: Board) -> None:
    """Breaks when a query adds up all applications of a Prometheus server."""
    names = "|".join(sorted((each.name for each in definitions()), key=len, reverse=True))
    for expression in expressions(board):
        used = re.findall(rf"(?:{names})(?:_bucket|_count|_sum)?\{{([^}}]*)\}}", expression)
        assert used
        assert all(labels.startswith('job=~"$job"') for labels in used)
        assert expression.count("[$__rate_interval]") == expression.count("rate(")
