"""The JSON of Grafana's dashboards."""

import json
from typing import Any

import pytest

from restwell._dashboards._boards import BOARDS, Board
from restwell._dashboards._grafana import grafana_json


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_dashboard_is_one_that_grafana_can_import(board: Board) -> None:
    """Each panel has its place, its unit and its data source, which the person chooses."""
    content: dict[str, Any] = json.loads(grafana_json(board))
    assert content["uid"] == f"restwell-{board.name}"
    panels = content["panels"]
    assert [panel["id"] for panel in panels] == [*range(1, len(panels) + 1)]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels), "no panel covers another"
    for panel in panels:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["fieldConfig"]["defaults"]["unit"]
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == sorted(set(letters))
        assert all(target["expr"] and target["legendFormat"] for target in panel["targets"])
    assert {variable["name"] for variable in content["templating"]["list"]} == {"datasource", "job"}
