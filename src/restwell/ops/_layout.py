"""Renders a page within the common layout."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from restwell.ops._forms import FormTokens
from restwell.ops._rendering import HEADERS, HTML, Templates
from restwell.settings import Settings
from restwell.web import Cookie, Request, Response

MESSAGE_COOKIE: Final = "__Host-ops-message"
_MESSAGE_SECONDS: Final = 60
_MAX_MESSAGE: Final = 300


class Layout:
    def __init__(self, templates: Templates, tokens: FormTokens, settings: Settings) -> None:
        self._templates = templates
        self._tokens = tokens
        self._environment = settings.app.env

    def page(self, request: Request, template: str, /, *, status: int = 200, **context: Any) -> Response[bytes]:
        """Render a template, with the message of the last action, if there is one.

        The template extends ``page.html``. It gets ``now``, ``here`` (the path with its query) and ``csrf`` (the token
        of its forms) beside the context.
        """
        form_cookie, new = self._tokens.cookie_of(request)
        cookies = [new] if new is not None else []
        message = request.cookies.get(MESSAGE_COOKIE, "") if "hx-request" not in request.headers else ""
        if message:
            cookies.append(Cookie(MESSAGE_COOKIE, "", 0))
        query = request.query_string.decode("latin-1")
        text = self._templates.render(
            template,
            now=datetime.now(UTC),
            here=f"{request.path}?{query}" if query else request.path,
            section=self._section(request.path),
            environment=self._environment,
            csrf=self._tokens.token_of(form_cookie),
            message=message[:_MAX_MESSAGE],
            **context,
        )
        return Response(content=text, status_code=status, media_type=HTML, headers=HEADERS, cookies=cookies)

    def _section(self, path: str) -> str:
        """The path of the page in the navigation that this path belongs to."""
        owners = [each.path for each in self._templates.site.pages if f"{path}/".startswith(f"{each.path}/")]
        return max(owners, key=len, default="")


def message_cookie(text: str) -> Cookie:
    """Carries the result of an action to the next page."""
    return Cookie(MESSAGE_COOKIE, quote(text[:_MAX_MESSAGE], safe=""), _MESSAGE_SECONDS)


def described(values: Mapping[str, object]) -> str:
    """The values as ``name=value``, for the audit log."""
    return " ".join(f"{name}={value}" for name, value in values.items())
