"""The version of the API that a request belongs to: what one version has issued is not valid in another."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from msgspec import Struct


class ApiVersion(Struct, frozen=True, eq=False):
    """``show`` converts a result of a handler, or a list of them, to the schemas of the version."""

    prefix: str = ""
    show: Callable[[Any], Any] = lambda result: result


NO_VERSION: Final = ApiVersion()
current: Final[ContextVar[ApiVersion]] = ContextVar("api_version", default=NO_VERSION)
"""Set for the time of a request. Its prefix is empty outside of versions."""
