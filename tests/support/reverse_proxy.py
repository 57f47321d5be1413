"""A temporary nginx as reverse proxy."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers import assert_allowed, free_port, listens, wait_until


@contextmanager
def nginx(folder: Path, upstream: int | str, of_http: str = "", of_server: str = "") -> Iterator[int]:
    """An nginx in front of a server, with keep-alive connections and optional further configuration.

    ``upstream``: its port, or the directives of several servers.
    """
    assert_allowed()
    port = free_port()
    (folder / "nginx").mkdir()
    config = folder / "nginx" / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {folder}/nginx/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    servers = upstream if isinstance(upstream, str) else f"server 127.0.0.1:{upstream}; keepalive 1;"
    config.write_text(f"""
daemon off; pid {folder}/nginx/pid; error_log {folder}/nginx/error.log; worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off; {temporary} {of_http}
  upstream app {{ {servers} }}
  server {{
    listen 127.0.0.1:{port};
    {of_server}
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
""")
    command = ["nginx", "-p", str(folder), "-c", str(config)]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port), process)
        yield port
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def balancer(folder: Path, *upstreams: int, keepalive_seconds: int = 1) -> Iterator[int]:
    """An nginx in front of several servers of one machine, as docs/deploys.md has it."""
    servers = "".join(f"server 127.0.0.1:{port} max_fails=0; " for port in upstreams)
    with nginx(folder, f"{servers} keepalive 32; keepalive_timeout {keepalive_seconds}s;") as port:
        yield port
