"""The templates, and the error pages."""

from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from socket import gethostname
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from msgspec import Raw, Struct

from restwell.errors import AppError, ErrorFormat
from restwell.ops._assets import Assets
from restwell.ops._formats import FILTERS
from restwell.ops._page import ROOT, OpsPage

HTML: Final = "text/html; charset=utf-8"
HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


class Site(Struct, frozen=True):
    """What all pages have in common. ``sign_in``: the path of the page for users to sign in."""

    pages: Sequence[OpsPage]
    sign_in: str
    has_accounts: bool

    def has(self, path: str) -> bool:
        """Whether there is the page of this path, which may have a query."""
        return path.partition("?")[0] in {each.path for each in self.pages}


class Templates:
    """The templates in the folder ``_templates``. Everything that they print is escaped."""

    def __init__(self, site: Site, assets: Assets) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(Path(__file__).with_name("_templates")),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(FILTERS)
        self._environment.globals.update(url_of=assets.url_of, site=site, root=ROOT, machine=gethostname())
        self.site = site
        self.error_format = ErrorFormat(HTML, self._error_page, headers=HEADERS)

    def render(self, template: str, **context: Any) -> bytes:
        return self._environment.get_template(template).render(context).encode()

    def _error_page(self, error: AppError, request_id: str) -> Raw:
        needs_sign_in = error.status == HTTPStatus.UNAUTHORIZED
        problem = error.problem(request_id)
        return Raw(self.render("error.html", problem=problem, needs_sign_in=needs_sign_in))
