"""TLS of the port."""

from typing import Any

import grpc

from restwell.settings import GrpcSettings


def tls_credentials(settings: GrpcSettings) -> Any:
    """The certificate and key of the settings, or None. New connections have renewed ones without a restart."""
    certificate, key = settings.tls_certificate_file, settings.tls_key_file
    if certificate is None or key is None:
        return None

    def read() -> tuple[bytes, bytes]:
        return key.read_bytes(), certificate.read_bytes()

    current = read()

    def renewed() -> Any:
        """The pair for a new connection if it has changed: None keeps the one in use."""
        nonlocal current
        found = read()
        if found == current:
            return None
        current = found
        return grpc.ssl_server_certificate_configuration([found])

    initial = grpc.ssl_server_certificate_configuration([current])
    return grpc.dynamic_ssl_server_credentials(initial, renewed)
