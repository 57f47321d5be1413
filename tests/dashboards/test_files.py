"""The dashboards and alerts of the repository are those of ``restwell dashboards``."""

from pathlib import Path

import pytest

from restwell._dashboards._files import RULES, RUNBOOK, dashboard_files
from servers import ROOT, restwell

DEPLOY = ROOT / "deploy"


def test_the_files_of_the_repository_are_up_to_date() -> None:
    """Breaks when a metric is renamed and the dashboards are not written again."""
    files = {path.relative_to(DEPLOY).as_posix(): path.read_text() for path in DEPLOY.rglob("*.*")}
    if files != dashboard_files(RUNBOOK):
        pytest.fail("deploy is outdated: run restwell dashboards deploy", pytrace=False)


@pytest.mark.integration
def test_the_command_writes_the_files_with_the_address_of_the_runbook(tmp_path: Path) -> None:
    """It needs no application and no setting."""
    address = "https://wiki.example/runbook"
    done = restwell("dashboards", "made", f"--runbook={address}", cwd=tmp_path, RESTWELL_APP="")
    assert (done.returncode, done.stdout) == (0, "wrote 6 files to made\n"), done.stderr
    written = {path.relative_to(tmp_path / "made").as_posix() for path in (tmp_path / "made").rglob("*.*")}
    assert written == {*dashboard_files(RUNBOOK)}
    assert f'"{address}#restwellerrors"' in (tmp_path / "made" / RULES).read_text()


@pytest.mark.integration
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    done = restwell("dashboards", "taken", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("restwell: taken")
    assert done.stderr.count("\n") == 1
