"""A TCP client that sends raw bytes."""

import socket
from contextlib import suppress


def send_raw(port: int, request: bytes, seconds: float = 5) -> bytes:
    """Send the bytes and return everything received until the connection closes."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with suppress(ConnectionError):  # the server may respond and close before the end of the request
            connection.sendall(request)
        with suppress(ConnectionError, TimeoutError):
            while chunk := connection.recv(65_536):
                received += chunk
    return received
