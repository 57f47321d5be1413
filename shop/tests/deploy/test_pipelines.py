"""The pipelines of GitHub are valid, and all of them release with the same commands."""

import re
from typing import Final

import pytest

from deploy_tools import DEPLOY, tool
from servers import ROOT

pytestmark = pytest.mark.integration

WORKFLOWS: Final = sorted((ROOT / ".github/workflows").glob("*.yml"))
RELEASES: Final = (".github/workflows/release.yml", ".gitlab-ci.yml", "Jenkinsfile")


def test_actionlint_finds_nothing() -> None:
    """Fails with an output of a step that does not exist."""
    result = tool("actionlint", *WORKFLOWS)
    assert result.returncode == 0, result.stdout


def test_each_action_is_pinned_to_a_commit() -> None:
    for workflow in WORKFLOWS:
        for action in re.findall(r"uses: (\S+)", workflow.read_text()):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), f"{workflow.name}: {action}"


@pytest.mark.parametrize("pipeline", RELEASES)
def test_each_pipeline_deploys_and_finishes_with_the_same_script(pipeline: str) -> None:
    commands = re.findall(r"deploy/kubernetes/release\.sh (\w+)", (ROOT / pipeline).read_text())
    assert commands == ["deploy", "finish"]
    assert (DEPLOY / "kubernetes/release.sh").stat().st_mode & 0o111
