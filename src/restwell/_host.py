"""The framework that serves what is no route of the kit: WebSockets, server-sent events, other people's handlers."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from restwell.edge._context import AsgiApp
from restwell.errors import ErrorFormat


class Hosted(NamedTuple):
    """The framework's ASGI application, and the paths of its HTTP handlers."""

    app: AsgiApp
    paths: Sequence[str]


class Host(Protocol):
    """A framework around the routes of the kit.

    ``reason``: why the routes must pass through it, such as its middleware; None if they are called directly, and only
    other requests reach the framework.
    """

    @property
    def reason(self) -> str | None: ...

    def application(self, routes: AsgiApp, errors: ErrorFormat) -> Hosted:
        """The framework, which passes requests for the routes of the kit to ``routes``."""
