"""What a page of the operations page consists of."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from msgspec import Struct

from restwell.database._explain import QuerySource
from restwell.jobs import Job
from restwell.web import Controller, get

ROOT: Final = "/ops"

page: Final = partial(get, include_in_schema=False)
"""Declares the handler of a page, which returns ``layout.page(...)``."""


class OpsPage(Struct, frozen=True):
    """A page: its title in the navigation, its controller, and what that needs.

    The controller has no guards: the operations page adds its own. ``jobs`` and ``queries`` are those of a Feature.
    """

    title: str
    controller: type[Controller]
    services: Sequence[object] = ()
    queries: Sequence[QuerySource] = ()
    jobs: Sequence[Job[..., Any]] = ()

    @property
    def path(self) -> str:
        return self.controller.path
