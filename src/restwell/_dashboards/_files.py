"""The files of ``restwell dashboards``."""

from collections.abc import Mapping
from typing import Final

from restwell._dashboards._alerts import rules
from restwell._dashboards._boards import BOARDS
from restwell._dashboards._grafana import grafana_json

RULES: Final = "prometheus/restwell.rules.yml"


def dashboard_files(runbook: str) -> Mapping[str, str]:
    """The content of each file, by its path."""
    boards = {f"grafana/{board.name}.json": grafana_json(board) for board in BOARDS}
    return {**boards, RULES: rules(runbook)}
