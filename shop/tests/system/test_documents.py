"""The commands in the documents work as written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from servers import ROOT, serve

DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "bench/README.md")
TESTED_BY = {
    "make run": "shop/tests/system/test_journey.py",
    "DATABASE_URL=postgresql://user:password@localhost/shop PORT=9000 WORKERS=4"
    " REDIS_URL=redis://localhost/0 make run": "shop/tests/system/test_journey.py",
    "pip install 'restwell[dev,docs]'": "tests/system/test_tutorial.py",
    "restwell --app hello:app dev": "tests/system/test_tutorial.py",
    "pip install restwell": "tests/system/test_wheel.py",
    "restwell --help": "tests/system/test_extras.py",
    "make test": ".ci/run",
    "make check": ".ci/run",
    ".venv/bin/restwell openapi --version /v1 > shop/tests/contract/openapi-v1.json": "tests/cli/test_api_usage.py",
    ".venv/bin/restwell openapi --version /v2 > shop/tests/contract/openapi-v2.json": "tests/cli/test_api_usage.py",
    ".venv/bin/pre-commit install": "shop/tests/system/test_documents.py",
}


def blocks(document: str) -> list[str]:
    """The shell blocks of a document."""
    return re.findall(r"^```sh\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)


def test_the_tour_of_the_readme_buys_two_headphones_once(tmp_path: Path) -> None:
    (tour,) = [block for block in blocks("README.md") if "curl" in block]
    with serve(tmp_path, "make", "run", cwd=ROOT, DATABASE_URL=f"sqlite:///{tmp_path / 'shop.db'}") as served:
        script = "set -euo pipefail\n" + tour.replace("http://127.0.0.1:8000", served.url)
        result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert '"status":"pending"' in result.stdout
    assert '"quantity":2' in result.stdout
    assert "idempotent-replayed: true" in result.stdout


def test_every_command_in_the_documents_is_run_by_a_test() -> None:
    for document in DOCUMENTS:
        for block in blocks(document):
            if "curl" not in block:
                assert set(block.splitlines()) <= TESTED_BY.keys(), f"{document}: {block}"
    for place in TESTED_BY.values():
        assert (ROOT / place).exists()


def test_the_guide_to_scaling_has_the_figures_of_the_simulation() -> None:
    done = subprocess.run(
        [sys.executable, "autoscale.py"], cwd=ROOT / "bench", capture_output=True, text=True, check=True
    )
    figures = re.findall(r"^ *(\w.*?) {2,}(\d+) +([\d.]+) +40$", done.stdout, re.MULTILINE)
    assert len(figures) == 7
    text = (ROOT / "docs/scaling.md").read_text()
    for setup, seconds, percent in figures:
        assert f"| {setup} | {seconds} s | {percent}% |" in text


def test_make_help_lists_every_target() -> None:
    result = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("run", "test", "test-quick", "coverage", "bench", "check", "format", "lock", "clean", "help"):
        assert re.search(rf"make {target} ", result)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the hooks need a git checkout")
def test_a_commit_runs_make_check_and_is_refused_when_that_fails(tmp_path: Path) -> None:
    """Breaks when the hook runs another command. ``make`` is a script here: CI runs the checks themselves."""
    program = ROOT / ".venv/bin/pre-commit"
    subprocess.run([program, "validate-config", ROOT / ".pre-commit-config.yaml"], check=True)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--shared", ROOT, clone], check=True)
    installed = subprocess.run([program, "install"], cwd=clone, capture_output=True, text=True, check=True)
    assert "pre-commit installed" in installed.stdout
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/made\nexit $RESULT\n')
    make.chmod(0o755)
    (clone / "README.md").write_text("# Changed\n")
    author = ["-c", "user.name=Ada", "-c", "user.email=ada@shop.example"]
    commit = ["git", *author, "commit", "--quiet", "--all", "--message", "Change"]
    for result in (1, 0):
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "RESULT": str(result)}
        committed = subprocess.run(commit, cwd=clone, env=environment, capture_output=True, text=True, check=False)
        assert committed.returncode == result, committed.stderr
    assert (tmp_path / "made").read_text() == "check\ncheck\n"
