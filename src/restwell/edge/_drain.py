"""Closes kept-alive connections while the process drains, so that clients open new ones to other servers."""

from collections.abc import Callable
from typing import Final

from restwell.edge._context import Headers, Hook, RequestContext

_CLOSE: Final = (b"connection", b"close")


class Drain(Hook):
    """``is_draining``: this process stops soon, and each of its responses closes its connection. ``on_begin``: what is
    called then.

    ``is_stopping`` returns whether all processes of the server do, so that no new requests should be sent to it. It is
    false while one worker is replaced by another.
    """

    def __init__(self) -> None:
        self.is_draining = False
        self.is_stopping: Callable[[], bool] = bool
        self.on_begin: list[Callable[[], object]] = []

    def begin(self) -> None:
        self.is_draining = True
        for call in self.on_begin:
            call()

    def on_response(self, context: RequestContext, headers: Headers) -> None:  # noqa: ARG002  # the signature of Hook
        if self.is_draining:
            headers.append(_CLOSE)
