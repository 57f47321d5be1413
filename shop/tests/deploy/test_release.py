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
  *"get job"*) echo "$JOB" ;;
  "apply -f -") echo "apply $(grep -c 'image: {IMAGE}' -)" >>calls ;;
  *) echo "$*" | sed 's/--namespace shop //; s/ --[a-z-]*\\(=[^ ]*\\)\\?//g' >>calls ;;
esac
"""
MIGRATED: Final = ["delete job migrate-before-deploy", "apply 1"]
DEPLOYED: Final = ["apply 2", "rollout status deployment/shop-api", "rollout status deployment/shop-worker", "smoke"]


def release(folder: Path, *arguments: str, job: str = "Complete", smoke: int = 0) -> tuple[int, list[str]]:
    for name, text in (("kubectl", PROGRAM), ("make", f"#!/bin/sh\necho $1 >>calls\nexit {smoke}\n")):
        (folder / name).write_text(text.replace(">>calls", f">>{folder}/calls"))
        (folder / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "JOB": job}
    command = [str(DEPLOY / "kubernetes/release.sh"), *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    return ended.returncode, (folder / "calls").read_text().splitlines()


def deploy(folder: Path, *, job: str = "Complete", smoke: int = 0) -> tuple[int, list[str]]:
    return release(folder, "deploy", "production", IMAGE, "https://shop.example.com", job=job, smoke=smoke)


def test_a_release_migrates_before_it_deploys(tmp_path: Path) -> None:
    assert deploy(tmp_path) == (0, MIGRATED + DEPLOYED)


def test_a_failed_migration_deploys_nothing(tmp_path: Path) -> None:
    """Fails if the script goes on after a failed Job."""
    code, calls = deploy(tmp_path, job="Failed")
    assert (code, calls) == (1, [*MIGRATED, "logs job/migrate-before-deploy"])


def test_a_release_that_does_not_answer_is_rolled_back(tmp_path: Path) -> None:
    """Fails without the smoke test in the condition."""
    code, calls = deploy(tmp_path, smoke=1)
    undone = ["rollout undo deployment/shop-api", "rollout undo deployment/shop-worker"]
    assert (code, calls) == (1, [*MIGRATED, *DEPLOYED, *undone, "rollout status deployment/shop-api"])


def test_the_post_deploy_migrations_run_when_a_release_is_finished(tmp_path: Path) -> None:
    assert release(tmp_path, "finish", IMAGE) == (0, ["delete job migrate-after-deploy", "apply 1"])
