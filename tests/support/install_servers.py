"""Install the servers that the tests start, where that is possible: as root, on Debian or Ubuntu."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

from pooler import pooler_program
from rabbit import rabbit_program
from servers import chromium_program, postgres_programs, redis_program

WANTED: dict[str, Callable[[], object]] = {
    "postgresql": lambda: os.environ.get("TEST_POSTGRES_URL") or postgres_programs(),
    "pgbouncer": pooler_program,
    "redis-server": redis_program,
    "rabbitmq-server": rabbit_program,
    "faketime": lambda: shutil.which("faketime"),
    "openssl": lambda: shutil.which("openssl"),
    "chromium": chromium_program,
    "prometheus": lambda: shutil.which("promtool"),
    "nginx-light": lambda: shutil.which("nginx"),
    "slowhttptest": lambda: shutil.which("slowhttptest"),
}


def main() -> None:
    missing = [package for package, find in WANTED.items() if find() is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"not installed, and some tests need them: {', '.join(missing)}", file=sys.stderr)
        return
    print(f"installing for the tests: {', '.join(missing)} ...", flush=True)
    # The packages would start servers of their own; the tests start theirs.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    subprocess.run([*apt, "update"], check=True, env=environment, stdout=subprocess.DEVNULL)
    subprocess.run(
        [*apt, "install", "--yes", "--no-install-recommends", *missing],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main()
