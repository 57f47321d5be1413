"""The JSON of Grafana's dashboards. Their data source and the label ``job`` are chosen in Grafana."""

import json
from typing import Any, Final

from restwell._dashboards._boards import Board, Panel
from restwell.edge._request_metrics import DURATION

WIDTH: Final = 12
HEIGHT: Final = 8
SCHEMA_VERSION: Final = 39
"""That of Grafana 10.4. Newer releases convert it."""
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


def grafana_json(board: Board) -> str:
    content = {
        "uid": f"restwell-{board.name}",
        "title": f"restwell: {board.name}",
        "tags": ["restwell"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["restwell"], "title": "restwell", "asDropdown": False}],
        "templating": {"list": [_datasource(), _job()]},
        "panels": [_panel(number, panel) for number, panel in enumerate(board.panels)],
    }
    return json.dumps(content, indent=2) + "\n"


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}


def _job() -> dict[str, Any]:
    return {
        "name": "job",
        "type": "query",
        "label": "Job",
        "datasource": _SOURCE,
        "query": f"label_values({DURATION.name}_count, job)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": {"x": number % 2 * WIDTH, "y": number // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"tooltip": {"mode": "multi", "sort": "desc"}, "legend": {"displayMode": "list"}},
        "targets": [
            {
                "refId": chr(ord("A") + position),
                "expr": query.expression,
                "legendFormat": query.legend,
                "exemplar": panel.exemplars,
            }
            for position, query in enumerate(panel.queries)
        ],
    }
