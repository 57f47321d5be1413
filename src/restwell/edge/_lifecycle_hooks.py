"""Announces the end of versions and routes on every response, and responds with 410 from the moment of their sunset."""

import re
import time
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from restwell.edge._context import Headers, Hook, RequestContext
from restwell.edge._lifecycle import Lifecycle
from restwell.edge._route import Route

MAX_FRESHNESS_SECONDS: Final = 366 * 86_400
"""``max-age`` is never longer than a year."""

_max_age: Final = re.compile(rb"max-age=(\d+)")


class _Compiled(Struct, frozen=True):
    lifecycle: Lifecycle
    headers: Headers
    sunset: float | None


class Lifecycles(Hook):
    """Adds the headers. It precedes every hook that responds. A cached response has them already.

    ``prefixes``: the lifecycles of versions, for requests below them that have no route.
    """

    cacheable_headers = True

    def __init__(self, routes: Iterable[Route], prefixes: Mapping[str, Lifecycle | None]) -> None:
        lifecycles = [each.lifecycle for each in routes if each.lifecycle is not None]
        self._of = {id(each): _compiled(each) for each in lifecycles}  # by id: a hash of the value takes longer
        self._prefixes = {f"{prefix}/": _compiled(each) for prefix, each in prefixes.items() if each is not None}

    @property
    def is_needed(self) -> bool:
        return bool(self._of or self._prefixes)

    def find(self, context: RequestContext) -> _Compiled | None:
        """What applies to the request."""
        route = context.route
        if route is not None:
            return self._of[id(route.lifecycle)] if route.lifecycle is not None else None
        path = context.scope["path"]
        return next((each for prefix, each in self._prefixes.items() if f"{path}/".startswith(prefix)), None)

    def on_response(self, context: RequestContext, headers: Headers) -> None:
        found = self.find(context)
        if found is not None:
            headers += found.headers


class Sunset(Hook):
    """Responds with 410 to requests for what has ended. Before, no response is fresh beyond the sunset.

    It follows the routing.
    """

    def __init__(self, lifecycles: Lifecycles) -> None:
        self._find = lifecycles.find

    def admit(self, context: RequestContext) -> None:
        """Raises Gone. Decided at each request, so that no process has to be restarted."""
        route = context.route
        if route is not None and route.lifecycle is None:
            return
        found = self._find(context)
        if found is None or found.sunset is None:
            return
        left = found.sunset - time.time()
        if left <= 0:
            raise found.lifecycle.gone()
        if left < MAX_FRESHNESS_SECONDS:
            context.sunset = found.sunset

    def on_response(self, context: RequestContext, headers: Headers) -> None:
        if context.sunset:
            _limit_freshness(headers, context.sunset - time.time())


def _compiled(lifecycle: Lifecycle) -> _Compiled:
    sunset = lifecycle.sunset_at
    return _Compiled(lifecycle, lifecycle.headers(), sunset.timestamp() if sunset is not None else None)


def _limit_freshness(headers: Headers, seconds_left: float) -> None:
    """No copy of the response is fresh after the sunset."""
    for number, (name, value) in enumerate(headers):
        if name == b"cache-control" and (found := _max_age.search(value)) is not None:
            left = max(0, int(seconds_left))
            if int(found[1]) > left:
                headers[number] = (name, _max_age.sub(b"max-age=%d" % left, value))
