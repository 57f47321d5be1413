"""``restwell dashboards`` writes dashboards and alerts."""

from pathlib import Path

import pytest

from restwell._dashboards import RUNBOOK
from restwell._dashboards._files import RULES, dashboard_files
from servers import restwell

pytestmark = pytest.mark.integration


def test_the_command_writes_the_files_with_the_address_of_the_runbook(tmp_path: Path) -> None:
    """It needs no application and no setting."""
    address = "https://wiki.example/runbook"
    done = restwell("dashboards", "made", f"--runbook={address}", cwd=tmp_path, RESTWELL_APP="")
    assert (done.returncode, done.stdout) == (0, "wrote 6 files to made\n"), done.stderr
    written = {path.relative_to(tmp_path / "made").as_posix() for path in (tmp_path / "made").rglob("*.*")}
    assert written == {*dashboard_files(RUNBOOK)}
    assert f'"{address}#restwellerrors"' in (tmp_path / "made" / RULES).read_text()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    done = restwell("dashboards", "taken", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("restwell: taken")
    assert done.stderr.count("\n") == 1
