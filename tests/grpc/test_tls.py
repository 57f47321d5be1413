"""The port has TLS with the certificate of the settings."""

import subprocess
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from grpc_app import create_app
from restwell.errors import ConfigurationError
from restwell.settings import GrpcSettings, Settings
from restwell.testing import running
from servers import free_port

pytestmark = pytest.mark.integration


def write_pair(folder: Path) -> None:
    """A new key with its certificate for 127.0.0.1, which is its own authority."""
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    name = ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    subprocess.run([*made, *name, *files], check=True, capture_output=True)


async def status_of(port: int, authority: bytes | None) -> grpc.StatusCode:
    """The status of a call that trusts this authority; None: a call without TLS."""
    target = f"127.0.0.1:{port}"
    channel = (
        grpc.aio.insecure_channel(target)
        if authority is None
        else grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(authority))
    )
    async with channel:
        try:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


async def test_calls_are_encrypted_and_a_renewed_certificate_needs_no_restart(
    grpc_settings: Settings, tmp_path: Path
) -> None:
    """Fails if a call without TLS is answered, or if an expired certificate stays until the server is restarted.

    Breaks when the port is opened without credentials, and when the files are read only once.
    """
    write_pair(tmp_path)
    first = (tmp_path / "tls.crt").read_bytes()
    port = free_port()
    own = GrpcSettings(port=port, tls_certificate_file=tmp_path / "tls.crt", tls_key_file=tmp_path / "tls.key")
    async with running(create_app(grpc_settings.model_copy(update={"grpc": own}))):
        assert await status_of(port, first) == grpc.StatusCode.OK
        assert await status_of(port, None) == grpc.StatusCode.UNAVAILABLE
        write_pair(tmp_path)
        assert await status_of(port, (tmp_path / "tls.crt").read_bytes()) == grpc.StatusCode.OK
        assert await status_of(port, first) == grpc.StatusCode.UNAVAILABLE


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tls.crt").write_text("")
    with pytest.raises(ConfigurationError, match="GRPC_TLS_CERTIFICATE_FILE and GRPC_TLS_KEY_FILE belong together"):
        Settings.load({"GRPC_TLS_CERTIFICATE_FILE": str(tmp_path / "tls.crt")})
