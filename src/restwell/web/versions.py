"""API versions: each is a prefix with its own list of controllers."""

from collections.abc import Sequence

from litestar import Controller, Router


def version(prefix: str, controllers: Sequence[type[Controller]]) -> Router:
    """Every route of these controllers below ``prefix``, such as ``/v1``."""
    return Router(prefix, route_handlers=list(controllers))
