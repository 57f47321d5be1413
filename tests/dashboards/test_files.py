"""The dashboards and alerts of the repository are those of ``restwell dashboards``."""

import pytest

from restwell._dashboards import RUNBOOK
from restwell._dashboards._files import dashboard_files
from servers import ROOT

DEPLOY = ROOT / "deploy"


def test_the_files_of_the_repository_are_up_to_date() -> None:
    """Breaks when a metric is renamed and the dashboards are not written again."""
    paths = (path for folder in ("grafana", "prometheus") for path in (DEPLOY / folder).iterdir())
    files = {path.relative_to(DEPLOY).as_posix(): path.read_text() for path in paths}
    if files != dashboard_files(RUNBOOK):
        pytest.fail("deploy is outdated: run restwell dashboards deploy", pytrace=False)
