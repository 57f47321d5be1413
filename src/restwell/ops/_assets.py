"""The files of the operations page: its style sheet, its script and htmx. Their names contain a hash of their content,
so that browsers may store them for a year.
"""

from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from restwell._extras import check_installed
from restwell.errors import ConfigurationError, NotFound
from restwell.ops._page import ROOT, page
from restwell.rate_limits import Rate
from restwell.web import Controller, Response

_FOLDER: Final = Path(__file__).with_name("_static")
_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_CACHED: Final = {"cache-control": "public, max-age=31536000, immutable"}
FILES: Final = Rate("ops_files", 600, seconds=60)


class Assets:
    """``url_of`` is the path of a file with its hash. Raises ConfigurationError if htmx is not installed."""

    def __init__(self) -> None:
        files = {file.name: file.read_bytes() for file in sorted(_FOLDER.iterdir())}
        files["htmx.js"] = _htmx()
        self._responses: dict[str, Response[bytes]] = {}
        self.url_of: dict[str, str] = {}
        for name, content in files.items():
            stem, _, kind = name.rpartition(".")
            hashed = f"{stem}.{blake2b(content, digest_size=6).hexdigest()}.{kind}"
            self._responses[hashed] = Response(content=content, media_type=_TYPES[kind], headers=_CACHED)
            self.url_of[name] = f"{ROOT}/static/{hashed}"

    def get(self, name: str) -> Response[bytes]:
        """Raises NotFound."""
        if name not in self._responses:
            raise NotFound
        return self._responses[name]


class AssetController(Controller):
    path = f"{ROOT}/static"

    @page("/{name}", rate_limit=FILES)
    async def ops_file(self, name: str, assets: Assets) -> Response[bytes]:
        return assets.get(name)


def _htmx() -> bytes:
    """The file of the package, which is not imported: it contains no Python code that is needed."""
    try:
        check_installed("js_lib_htmx", "ops")
    except ValueError as error:
        raise ConfigurationError([f"restwell.ops: {error}"]) from None
    spec = find_spec("js_lib_htmx")
    if spec is None or spec.origin is None:
        raise ConfigurationError(["restwell.ops: django-js-lib-htmx is not installed as files: install it with pip"])
    return (Path(spec.origin).parent / "static/htmx/htmx.min.js").read_bytes()
