"""A release to Kubernetes migrates, deploys, asks the application, and rolls back if one of these fails.

`kubectl` writes what it is asked to a file; Kustomize is the real one. Nothing here runs in a cluster.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from deploy_tools import DEPLOY

pytestmark = pytest.mark.integration

IMAGE: Final = "registry.example.com/shop@sha256:" + "0" * 64
PROGRAM: Final = f"""#!/bin/sh
[ "$1" = kustomize ] && exec {Path(sys.executable).with_name("kubectl")} "$@"
case "$*" in
  *"get job"*) echo "$JOB"; exit ;;
  "apply -f -") echo "apply $(grep -c 'image: {IMAGE}' -)" >>calls ;;
  *) echo "$*" | sed 's/--namespace shop //; s/ --[a-z-]*\\(=[^ ]*\\)\\?//g' >>calls ;;
esac
[ "$(tail -1 calls)" != "$FAILS" ]
"""
MIGRATED: Final = ["delete job migrate-before-deploy", "apply 1"]
ROLLED_OUT: Final = ["rollout status deployment/shop-api", "rollout status deployment/shop-worker"]
DEPLOYED: Final = ["apply 2", *ROLLED_OUT, "smoke"]
UNDONE: Final = "rollout undo deployment/shop-api deployment/shop-worker"


def release(folder: Path, *arguments: str, job: str = "Complete", fails: str = "") -> tuple[int, list[str]]:
    """The exit code, and what was called. ``fails`` is the call that fails."""
    calls = str(folder / "calls")
    programs = {"kubectl": PROGRAM, "make": '#!/bin/sh\necho $1 >>calls\n[ $1 != "$FAILS" ]\n', "sleep": "#!/bin/sh\n"}
    for name, text in programs.items():
        (folder / name).write_text(text.replace(">>calls", f">>{calls}").replace("-1 calls", f"-1 {calls}"))
        (folder / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "JOB": job, "FAILS": fails}
    command = [str(DEPLOY / "kubernetes/release.sh"), *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    made = (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []
    return ended.returncode, made


def deploy(folder: Path, *, job: str = "Complete", fails: str = "") -> tuple[int, list[str]]:
    return release(folder, "deploy", "production", IMAGE, "https://shop.example.com", job=job, fails=fails)


def test_a_release_migrates_before_it_deploys(tmp_path: Path) -> None:
    """Fails if an image of a manifest is not replaced by that of the release."""
    assert deploy(tmp_path) == (0, MIGRATED + DEPLOYED)


@pytest.mark.parametrize("job", ["Failed", ""])
def test_a_migration_that_fails_or_does_not_end_deploys_nothing(job: str, tmp_path: Path) -> None:
    """Fails if the script goes on after a failed Job, or after a last look at one that still runs."""
    code, calls = deploy(tmp_path, job=job)
    assert (code, calls) == (1, [*MIGRATED, "logs job/migrate-before-deploy"])


@pytest.mark.parametrize("call", [MIGRATED[1], DEPLOYED[0]])
def test_manifests_that_are_refused_stop_the_release(call: str, tmp_path: Path) -> None:
    """Fails without ``errexit``: it would wait for, and ask, the previous release."""
    code, calls = deploy(tmp_path, fails=call)
    assert (code, calls[-1]) == (1, call)


@pytest.mark.parametrize("call", DEPLOYED[1:])
def test_a_release_that_does_not_start_or_answer_is_rolled_back(call: str, tmp_path: Path) -> None:
    """Fails if the rollout of the API, that of the workers or the smoke test is not in the condition."""
    code, calls = deploy(tmp_path, fails=call)
    done = DEPLOYED[: DEPLOYED.index(call) + 1]
    assert code == 1
    assert calls[: calls.index(UNDONE) + 2] == [*MIGRATED, *done, UNDONE, ROLLED_OUT[0]]


def test_the_post_deploy_migrations_run_when_a_release_is_finished(tmp_path: Path) -> None:
    assert release(tmp_path, "finish", IMAGE) == (0, ["delete job migrate-after-deploy", "apply 1"])


def test_a_failed_post_deploy_migration_is_a_failure(tmp_path: Path) -> None:
    """Fails if ``finish`` does not wait for the Job."""
    code, calls = release(tmp_path, "finish", IMAGE, job="Failed")
    assert (code, calls[-1]) == (1, "logs job/migrate-after-deploy")


def test_an_unknown_command_does_nothing(tmp_path: Path) -> None:
    assert release(tmp_path, "migrate", IMAGE) == (2, [])
