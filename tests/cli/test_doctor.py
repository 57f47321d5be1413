"""``restwell doctor`` as text and as JSON, its exit code, and the commands of its page."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from servers import RESTWELL, ROOT, SUPPORT, free_port, restwell

pytestmark = pytest.mark.integration
PAGE = (ROOT / "docs/doctor.md").read_text()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    found = {"RESTWELL_APP": "doctor_app:healthy", "PYTHONPATH": str(SUPPORT), "PORT": str(free_port())}
    assert restwell("migrate", cwd=tmp_path, **found).returncode == 0
    return found


def test_a_finding_is_a_line_and_an_object(environment: dict[str, str], tmp_path: Path) -> None:
    environment["CORS_ORIGINS"] = "http://app.example.com"
    message = "http://app.example.com is not encrypted: an attacker on the network may change its pages. Use https://."
    found = restwell("doctor", cwd=tmp_path, **environment)
    assert found.stdout == f"warning  CORS_ORIGINS: {message}\n21 checks, 1 finding\n"
    assert (found.returncode, found.stderr) == (1, "")
    found = restwell("doctor", "--json", cwd=tmp_path, **environment)
    assert json.loads(found.stdout) == [{"level": "warning", "place": "CORS_ORIGINS", "message": message}]
    assert (found.returncode, found.stderr) == (1, "")


def test_a_hint_does_not_fail(environment: dict[str, str], tmp_path: Path) -> None:
    found = restwell("doctor", cwd=tmp_path, **{**environment, "RESTWELL_APP": "doctor_app:faulty"})
    assert found.stdout.startswith("hint     POST /v1/faults: anyone may call add_unguarded")
    assert found.returncode == 0


def test_an_application_that_cannot_be_imported_is_a_configuration_error(tmp_path: Path) -> None:
    found = restwell("doctor", cwd=tmp_path, RESTWELL_APP="nothing.here:project")
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == (
        "restwell: no application at nothing.here:project: "
        f"No module named 'nothing'; it is not installed, and not in {tmp_path}\n"
    )


def test_the_commands_of_the_page_run(environment: dict[str, str], tmp_path: Path) -> None:
    """Breaks when a command of the page has an option that does not exist."""
    script = "".join(["set -e\n", *re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)])
    path = f"{Path(RESTWELL).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, **environment, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("21 checks, 0 findings\n[]\n")
