"""Runs containers of the image that `make image` has built, as an orchestrator does: without a writable root."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from processes import children_of
from servers import wait_until

ENGINE: Final = os.environ.get("ENGINE", "docker")
IMAGE: Final = os.environ.get("IMAGE", "shop")
USER: Final = 10001
READ_ONLY: Final = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host")


def engine(*arguments: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """The result of a command of docker or podman."""
    return subprocess.run([ENGINE, *arguments], capture_output=True, text=True, check=False, timeout=timeout)


def inspect(kind: str, name: str) -> Any:
    found = engine(kind, "inspect", name)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)[0]


class Deployment:
    """Containers that share a folder, secrets and settings."""

    def __init__(self, folder: Path, **settings: str) -> None:
        (folder / "secrets").mkdir()
        (folder / "data").mkdir()
        (folder / "data").chmod(0o777)  # the user of the image has no name here
        self._mounts = [f"-v{folder}/data:/data", f"-v{folder}/secrets:/run/secrets:ro"]
        self.secrets = folder / "secrets"
        self.settings = settings

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the image to its end."""
        return engine("run", "--rm", *self._options(settings), IMAGE, *arguments)

    @contextmanager
    def start(self, *arguments: str, **settings: str) -> Iterator["Container"]:
        started = engine("run", "--detach", *self._options(settings), IMAGE, *arguments)
        assert started.returncode == 0, started.stderr
        container = Container(started.stdout.strip())
        try:
            yield container
        finally:
            engine("rm", "--force", "--volumes", container.name)

    def _options(self, settings: dict[str, str]) -> list[str]:
        values = {**self.settings, **settings}
        return [*READ_ONLY, *self._mounts, *(f"--env={name}={value}" for name, value in values.items())]


class Container:
    """A container that runs."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def logs(self) -> str:
        found = engine("logs", self.name)
        return found.stdout + found.stderr

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        state = inspect("container", self.name)["State"]
        return None if state["Running"] else int(state["ExitCode"])

    def signal(self, name: str) -> None:
        assert engine("kill", f"--signal={name}", self.name).returncode == 0, self.logs

    def wait(self) -> int:
        """The exit code, when it ends."""
        wait_until(lambda: self.exit_code is not None)
        code = self.exit_code
        assert code is not None
        return code

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        return engine("exec", self.name, *command)

    def processes(self) -> dict[int, tuple[str, int]]:
        """The processes in it by id, each with its state (R, S, Z) and its parent. Without that of this command."""
        code = (
            "import os\n"
            "from pathlib import Path\n"
            "for stat in Path('/proc').glob('[0-9]*/stat'):\n"
            "    if int(stat.parent.name) != os.getpid():\n"
            "        try: print(stat.parent.name, *stat.read_text().rpartition(')')[2].split()[:2])\n"
            "        except OSError: pass\n"
        )
        lines = (line.split() for line in self.execute("python", "-c", code).stdout.splitlines())
        return {int(process): (state, int(parent)) for process, state, parent in lines}

    def wait_for_python(self) -> None:
        """Wait until process 1 has its child: then it forwards signals. The kernel drops them before Python runs."""
        process = inspect("container", self.name)["State"]["Pid"]
        wait_until(lambda: bool(children_of(process)))
