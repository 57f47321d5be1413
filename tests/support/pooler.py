"""A temporary PgBouncer server."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from processes import READY_SECONDS
from servers import free_port, listens, ordinary_user, wait_until


def pooler_program() -> str | None:
    return shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")


@contextmanager
def pooler(server_url: str, mode: str) -> Iterator[str]:
    """The URL of the same database through PgBouncer in that pool mode, with its default settings."""
    program = pooler_program()
    assert program is not None, "PgBouncer is not installed"
    parts = urlsplit(server_url)
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="restwell-pooler-") as name:
        folder = Path(name)
        _, as_owner = ordinary_user(folder)  # it refuses to run as root
        users, configuration = folder / "users.txt", folder / "pgbouncer.ini"
        users.write_text(f'"{parts.username}" ""\n')
        configuration.write_text(
            f"[databases]\n* = host={parts.hostname} port={parts.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\npool_mode = {mode}\n"
            f"auth_type = trust\nauth_file = {users}\n"
        )
        process = subprocess.Popen(
            [*as_owner, program, configuration], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_until(lambda: listens(port), process)
            yield parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}").geturl()
        finally:
            process.terminate()
            process.wait(READY_SECONDS)
