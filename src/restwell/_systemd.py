"""Tells systemd about the state of the service (``sd_notify``), if it asks for it with ``Type=notify``."""

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """Send ``READY=1`` or ``STOPPING=1`` to the socket that NOTIFY_SOCKET names. Without it, do nothing.

    Only the main process of the service may send it, unless the unit says otherwise.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # of the abstract namespace
        address = f"\0{address[1:]}"
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.sendto(state.encode(), address)
