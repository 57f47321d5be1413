"""``/openapi.json`` and Swagger UI at ``/docs``, both served without a CDN. ``/docs`` needs the extra ``docs``.

The Content-Security-Policy is as strict as Swagger UI allows. It sets inline styles, so inline styles are allowed.
Inline scripts are not, so the start script is a file.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from restwell.errors import NotFound
from restwell.rate_limits import Rate
from restwell.web._declarations import Handler, get
from restwell.web._openapi_schemas import Schema
from restwell.web._responses import Response

DOCUMENTS: Final = Rate("documents", 600, seconds=60)
"""The rate of ``/docs``, ``/openapi.json`` and ``/.well-known``, separate from the rate of reads."""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ASSETS: Final = {"swagger-ui-bundle.js": "text/javascript; charset=utf-8", "swagger-ui.css": "text/css; charset=utf-8"}
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START: Final = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
"""


def docs_routes(document: Schema) -> list[Handler]:
    """Build the routes. Their contents are read and encoded once, here.

    Without Swagger UI only ``/openapi.json`` is served.
    """
    title = str(document["info"]["title"])
    page = Response(
        content=_PAGE.format(title=title).encode(),
        media_type="text/html; charset=utf-8",
        headers={"content-security-policy": CONTENT_SECURITY_POLICY},
    )
    document_response = Response(content=msgspec.json.encode(document), media_type="application/json")

    @get("/openapi.json", include_in_schema=False, rate_limit=DOCUMENTS)
    async def openapi() -> Response[bytes]:
        return document_response

    folder = swagger_ui()
    if folder is None:
        return [openapi]
    files = {name: _file((folder / name).read_bytes(), kind) for name, kind in _ASSETS.items()}
    files["start.js"] = _file(_START.encode(), "text/javascript; charset=utf-8")

    @get("/docs", include_in_schema=False, rate_limit=DOCUMENTS)
    async def docs() -> Response[bytes]:
        return page

    @get("/docs/{name}", include_in_schema=False, rate_limit=DOCUMENTS)
    async def docs_file(name: str) -> Response[bytes]:
        if name not in files:
            raise NotFound
        return files[name]

    return [openapi, docs, docs_file]


def _file(content: bytes, kind: str) -> Response[bytes]:
    return Response(content=content, media_type=kind, headers={"cache-control": "public, max-age=3600"})


def swagger_ui() -> Path | None:
    """The folder of Swagger UI, or None if it is not installed."""
    spec = find_spec("swagger_ui")  # not imported: only its files are needed
    return Path(spec.origin).parent / "static" if spec is not None and spec.origin is not None else None
