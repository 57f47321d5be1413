"""``docs/metrics.md`` lists the metrics."""

import pytest

from metrics_table import tables, written


def test_the_document_lists_every_metric() -> None:
    """``make check`` runs it: a definition is easily added without its row."""
    if written()[1] != tables():
        pytest.fail("docs/metrics.md lacks a metric: run python tests/support/metrics_table.py", pytrace=False)
