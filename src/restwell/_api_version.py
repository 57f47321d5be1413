"""The version of the API that a request belongs to: what one version has issued is not valid in another."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, Self
from urllib.parse import quote

from msgspec import Struct


class ApiVersion(Struct, frozen=True, eq=False):
    """``show`` converts a result of a handler, or a list of them, to the schemas of the version.

    ``tag_suffix``: what its entity tags end with, such as ``.v1``.
    """

    prefix: str = ""
    show: Callable[[Any], Any] = lambda result: result
    tag_suffix: str = ""

    @classmethod
    def of(cls, prefix: str, show: Callable[[Any], Any]) -> Self:
        return cls(prefix, show, quote(prefix.replace("/", "."), safe=""))


NO_VERSION: Final = ApiVersion()
current: Final[ContextVar[ApiVersion]] = ContextVar("api_version", default=NO_VERSION)
"""Set for the time of a request. Its prefix is empty outside of versions."""
