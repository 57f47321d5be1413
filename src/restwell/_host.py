"""The framework that serves what is no route of the kit: WebSockets, server-sent events, other people's handlers."""

from typing import Protocol

from restwell.edge._context import AsgiApp


class Host(Protocol):
    """A framework around the routes of the kit.

    ``reason``: why the routes must pass through it, such as its middleware; None if they are called directly, and only
    other requests reach the framework.
    """

    @property
    def reason(self) -> str | None: ...

    def application(self, routes: AsgiApp) -> AsgiApp:
        """The framework's ASGI application, which passes requests for the routes of the kit to ``routes``."""
