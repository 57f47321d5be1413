"""Finds the route of each request."""

from restwell.edge._canonical_path import path_below_root
from restwell.edge._context import Hook, RequestContext, Response
from restwell.edge._route import Route
from restwell.edge._router import Router


class Routing(Hook):
    """Sets ``route`` and ``path_parameters`` of the context. HEAD finds the route of GET.

    Responds to OPTIONS of a path with routes (RFC 9110 9.3.7), without authentication, unless the application does.
    Other requests without a route pass on: the application responds.
    """

    def __init__(self, router: Router[Route], *, responds_to_options: bool = True) -> None:
        self._router = router
        self._find = router.find
        self._responds_to_options = responds_to_options

    def admit(self, context: RequestContext) -> Response | None:
        scope, method = context.scope, context.method
        path = path_below_root(scope) if scope.get("root_path") else scope["path"]
        match = self._find("GET" if method == "HEAD" else method, path)
        if match is not None:
            context.route, context.path_parameters = match
            scope["path_template"] = match[0].path
        elif method == "OPTIONS" and self._responds_to_options:
            allowed = self._router.allowed(path)
            if allowed is not None:
                return 204, [(b"allow", allowed.encode())], b""
        return None
