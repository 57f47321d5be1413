"""A client that sends bytes as they are."""

import socket
from contextlib import suppress


def say_raw(port: int, request: bytes, seconds: float = 5) -> bytes:
    """What comes back for these bytes, until the connection ends."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with suppress(ConnectionError):  # what is too much is answered while it is sent
            connection.sendall(request)
        with suppress(ConnectionError, TimeoutError):
            while piece := connection.recv(65_536):
                found += piece
    return found
