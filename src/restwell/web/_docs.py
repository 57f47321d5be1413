"""``/openapi.json`` and Swagger UI at ``/docs``, both served without a CDN. ``/docs`` needs the extra ``docs``.

The Content-Security-Policy is as strict as Swagger UI allows. It sets inline styles, so inline styles are allowed.
Inline scripts are not, so the start script is a file.
"""

from collections.abc import Mapping, Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from restwell.errors import NotFound
from restwell.rate_limits import Rate
from restwell.web._declarations import Handler, Version, get
from restwell.web._openapi_schemas import Schema
from restwell.web._responses import Response

DOCUMENTS: Final = Rate("documents", 600, seconds=60)
"""The rate of ``/docs``, ``/openapi.json`` and ``/.well-known``, separate from the rate of reads."""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SEVERAL: Final = 2
_ASSETS: Final = {"swagger-ui-bundle.js": "text/javascript; charset=utf-8", "swagger-ui.css": "text/css; charset=utf-8"}
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<style>
body {{ margin: 0 }}
header {{ box-sizing: border-box; margin: 0 auto; max-width: 1460px; padding: 16px 20px 0; font: 14px sans-serif }}
select {{ margin-left: 8px; padding: 4px 8px; border: 1px solid #999; border-radius: 4px; background: #fff }}
select {{ font: inherit }}
</style>
</head>
<body>
{versions}<div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START: Final = """const select = document.getElementById("version");
const asked = new URLSearchParams(location.search).get("version");
if (select) {
  for (const option of select.options) option.selected = option.text.split(" ")[0] === asked || option.selected;
  select.onchange = () => location.assign("/docs?version=" + select.selectedOptions[0].text.split(" ")[0]);
}
SwaggerUIBundle({
  url: select ? select.value : "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
"""
"""The options of the selection are ``v1 (deprecated)``, with the path of the document as the value."""


def docs_routes(documents: Mapping[str, Schema], versions: Sequence[Version]) -> list[Handler]:
    """Build the routes. Their contents are read and encoded once, here.

    ``documents``: the document of each version by its prefix. ``/openapi.json`` is that of the last one. Without
    Swagger UI only the documents are served.
    """
    encoded = {prefix: msgspec.json.encode(document) for prefix, document in documents.items()}
    newest = next(reversed(encoded))
    handlers = [_document(path, encoded[prefix]) for prefix in encoded if (path := f"{prefix}/openapi.json")]
    if newest:
        handlers.insert(0, _document("/openapi.json", encoded[newest]))
    title = str(documents[newest]["info"]["title"])
    page = Response(
        content=_PAGE.format(title=escape(title), versions=_selection(versions)).encode(),
        media_type="text/html; charset=utf-8",
        headers={"content-security-policy": CONTENT_SECURITY_POLICY},
    )
    folder = swagger_ui()
    if folder is None:
        return handlers
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

    return [*handlers, docs, docs_file]


def _document(path: str, content: bytes) -> Handler:
    response = Response(content=content, media_type="application/json")

    @get(path, include_in_schema=False, rate_limit=DOCUMENTS)
    async def openapi() -> Response[bytes]:
        return response

    return openapi


def _selection(versions: Sequence[Version]) -> str:
    """The selection of a version, the last one first; empty if there is only one."""
    if len(versions) < _SEVERAL:
        return ""
    options = "".join(
        f'<option value="{escape(each.prefix)}/openapi.json">'
        f"{escape(each.prefix.strip('/'))}{' (deprecated)' if each.lifecycle is not None else ''}</option>"
        for each in reversed(versions)
    )
    return f'<header><label for="version">Version</label><select id="version">{options}</select></header>\n'


def _file(content: bytes, kind: str) -> Response[bytes]:
    return Response(content=content, media_type=kind, headers={"cache-control": "public, max-age=3600"})


def swagger_ui() -> Path | None:
    """The folder of Swagger UI, or None if it is not installed."""
    spec = find_spec("swagger_ui")  # not imported: only its files are needed
    return Path(spec.origin).parent / "static" if spec is not None and spec.origin is not None else None
