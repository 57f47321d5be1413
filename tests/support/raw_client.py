"""A client that sends raw bytes."""

import socket
from contextlib import suppress


def say_raw(port: int, request: bytes, seconds: float = 5) -> bytes:
    """Send the bytes. Return everything that is received until the connection ends."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with suppress(ConnectionError):  # the server may respond to a long request while it is sent
            connection.sendall(request)
        with suppress(ConnectionError, TimeoutError):
            while piece := connection.recv(65_536):
                found += piece
    return found
