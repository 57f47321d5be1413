"""GraphiQL, the page for trying out documents, at ``GET /graphql``: where the schema is described, from our own origin.

Its files are those of a package, whose Python code is not imported. The Content-Security-Policy allows no
inline script and no inline style.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from restwell.errors import NotFound
from restwell.rate_limits import Rate
from restwell.settings import Settings
from restwell.web import Controller, Response, get

PATH: Final = "/graphql"
FILES: Final = Rate("graphiql", 600, seconds=60)
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src data:; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PACKAGE: Final = "graphene_django_graphiql_static"
_SCRIPTS: Final = ("react.production.min.js", "react-dom.production.min.js", "graphiql.min.js")
_STYLES: Final = "graphiql.min.css"
_CSS: Final = "text/css; charset=utf-8"
_JAVASCRIPT: Final = "text/javascript; charset=utf-8"
_PAGE: Final = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>GraphiQL</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{PATH}/{_STYLES}">
<link rel="stylesheet" href="{PATH}/start.css">
</head>
<body>
<main id="graphiql"></main>
{"".join(f'<script src="{PATH}/{name}"></script>' for name in (*_SCRIPTS, "start.js"))}
</body>
</html>
"""
_STYLE: Final = "html, body, main { height: 100%; margin: 0 }\n"
_START: Final = f"""ReactDOM.render(
  React.createElement(GraphiQL, {{
    fetcher: GraphiQL.createFetcher({{ url: "{PATH}" }}),
    defaultQuery: "# Authorization and Idempotency-Key belong to Headers, below.\\n{{\\n  __typename\\n}}\\n",
    defaultHeaders: '{{\\n  "Authorization": "Bearer "\\n}}',
    isHeadersEditorEnabled: true,
    shouldPersistHeaders: false,
  }}),
  document.getElementById("graphiql"),
);
"""


class GraphiQL:
    """The page and its files. Without the extra ``graphiql``, or where the schema is not described, there are none."""

    def __init__(self, settings: Settings) -> None:
        folder = static_folder() if settings.has_introspection else None
        self._files: dict[str, Response[bytes]] = {}
        if folder is not None:
            headers = {"content-security-policy": CONTENT_SECURITY_POLICY}
            self._files[""] = Response(content=_PAGE.encode(), media_type="text/html; charset=utf-8", headers=headers)
            self._files["start.js"] = _file(_START.encode(), _JAVASCRIPT)
            self._files["start.css"] = _file(_STYLE.encode(), _CSS)
            self._files[_STYLES] = _file((folder / _STYLES).read_bytes(), _CSS)
            self._files |= {name: _file((folder / name).read_bytes(), _JAVASCRIPT) for name in _SCRIPTS}

    def get(self, name: str) -> Response[bytes]:
        """Raises NotFound."""
        if name not in self._files:
            raise NotFound
        return self._files[name]


class GraphiQLController(Controller):
    path = PATH
    tags = ["GraphQL"]

    @get(include_in_schema=False, rate_limit=FILES)
    async def graphiql(self, page: GraphiQL) -> Response[bytes]:
        """Try out documents."""
        return page.get("")

    @get("/{name}", include_in_schema=False, rate_limit=FILES)
    async def graphiql_file(self, name: str, page: GraphiQL) -> Response[bytes]:
        """Return a file of the page."""
        return page.get(name)


def static_folder() -> Path | None:
    """The folder of the files, or None if the package is not installed."""
    spec = find_spec(_PACKAGE)  # not imported: only its files are needed
    return Path(spec.origin).parent / "static" / _PACKAGE if spec is not None and spec.origin is not None else None


def _file(content: bytes, kind: str) -> Response[bytes]:
    return Response(content=content, media_type=kind, headers={"cache-control": "public, max-age=3600"})
