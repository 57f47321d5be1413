"""A temporary nginx with the configuration of deploy/nginx."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from servers import ROOT, assert_allowed, free_port, listens, wait_until

SHIPPED: Final = ROOT / "deploy/nginx/restwell.conf"


def configuration(folder: Path, listen: str, upstreams: str, keepalive: int, keepalive_seconds: int) -> str:
    """The shipped configuration with addresses, certificate and idle connections of a test."""
    text = SHIPPED.read_text()
    for pattern, new in (
        (r"listen 80;", f"listen unix:{folder}/nginx/http;"),
        (r"listen 443 ssl http2;", listen),
        (r"/etc/nginx/tls/shop", f"{folder}/nginx/tls"),
        (r"( *server 10\.\S+ max_fails=0;.*\n)+", f"{upstreams}\n"),
        (r"keepalive 32;", f"keepalive {keepalive};"),
        (r"keepalive_timeout 5s;", f"keepalive_timeout {keepalive_seconds}s;"),
    ):
        text, found = re.subn(pattern, new, text)
        assert found >= 1, f"{SHIPPED} has no {pattern}"
    return text


@contextmanager
def nginx(
    folder: Path, *upstreams: int, of_http: str = "", keepalive_seconds: int = 1, tls_port: int | None = None
) -> Iterator[int]:
    """An nginx in front of servers of this machine, with optional further configuration of its ``http`` block.

    With one server it has one idle connection, which all clients share.
    """
    assert_allowed()
    port = free_port()
    (folder / "nginx").mkdir()
    config = folder / "nginx" / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {folder}/nginx/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    listen = f"listen 127.0.0.1:{port};" + (f" listen 127.0.0.1:{tls_port} ssl http2;" if tls_port else "")
    servers = "".join(f"server 127.0.0.1:{upstream} max_fails=0;" for upstream in upstreams)
    shipped = configuration(folder, listen, servers, 32 if len(upstreams) > 1 else 1, keepalive_seconds)
    config.write_text(f"""
user root; daemon off; pid {folder}/nginx/pid; error_log {folder}/nginx/error.log; worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off; {temporary} {of_http}
  {shipped}
}}
""")
    make_certificate(folder / "nginx")
    command = ["nginx", "-p", str(folder), "-c", str(config)]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port), process)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def make_certificate(folder: Path) -> None:
    """A self-signed certificate for shop.example.com, and its key."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(folder / "tls.key")]
    name = ["-subj", "/CN=shop.example.com", "-addext", "subjectAltName=DNS:shop.example.com"]
    command = ["openssl", "req", "-x509", *key, *name, "-days", "2", "-out", str(folder / "tls.pem")]
    subprocess.run(command, check=True, capture_output=True)
