"""Finds the route of each request."""

from restwell.edge._context import Hook, RequestContext, Response
from restwell.edge._route import Route
from restwell.edge._router import Router


class Routing(Hook):
    """Sets ``route`` and ``path_parameters`` of the context. HEAD finds the route of GET.

    Responds to OPTIONS of a path with routes (RFC 9110 9.3.7), without authentication. Other requests without a route
    pass on: the application responds.
    """

    def __init__(self, router: Router[Route]) -> None:
        self._router = router
        self._find = router.find

    def admit(self, context: RequestContext) -> Response | None:
        scope, method = context.scope, context.method
        match = self._find("GET" if method == "HEAD" else method, scope["path"])
        if match is not None:
            context.route, context.path_parameters = match
            scope["path_template"] = match[0].path
        elif method == "OPTIONS":
            allowed = self._router.allowed(scope["path"])
            if allowed is not None:
                return 204, [(b"allow", allowed.encode())], b""
        return None
