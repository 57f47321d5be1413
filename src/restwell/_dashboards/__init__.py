"""Dashboards of Grafana and alerts of Prometheus, made from the definitions of the metrics."""

from typing import Final

RUNBOOK: Final = "docs/runbook.md"
