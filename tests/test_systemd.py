"""systemd learns from a real datagram socket when the service is ready and when it stops."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from environments import migrated, wait_for_exit
from restwell._systemd import notify
from servers import RESTWELL, serving, working

pytestmark = pytest.mark.integration


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        yield listening


async def test_a_server_is_ready_when_its_workers_have_started(tmp_path: Path, systemd: socket.socket) -> None:
    """Fails if the server does not say so: systemd ends it after TimeoutStartSec."""
    environment = {
        **await migrated(tmp_path / "app.db", "tiny.slow"),
        "NOTIFY_SOCKET": systemd.getsockname(),
        "WORKERS": "2",
    }
    async with serving(tmp_path, RESTWELL, "serve", cwd=tmp_path, **environment) as served:
        assert systemd.recv(100) == b"READY=1"
        served.process.terminate()
        assert systemd.recv(100) == b"STOPPING=1"
        assert await wait_for_exit(served.process, 20) == 0
    systemd.setblocking(False)  # noqa: FBT003  # the name of the method says it
    with pytest.raises(BlockingIOError):
        systemd.recv(100)


async def test_a_worker_is_ready_when_it_handles_signals(tmp_path: Path, systemd: socket.socket) -> None:
    environment = {**await migrated(tmp_path / "app.db", "tiny.slow"), "NOTIFY_SOCKET": systemd.getsockname()}
    with working(tmp_path, cwd=tmp_path, **environment) as worker:
        assert systemd.recv(100) == b"READY=1"
        worker.process.terminate()
        assert systemd.recv(100) == b"STOPPING=1"


def test_an_abstract_socket_is_notified_and_a_missing_one_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("")  # an abstract name of the kernel's choice
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + listening.getsockname()[1:].decode())
        notify("READY=1")
        assert listening.recv(100) == b"READY=1"
    notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")
