"""The token endpoint of OAuth 2, for machine clients (RFC 6749 4.4): how they say who they are, and what an error looks like there."""

from base64 import b64decode
from typing import Any, Final
from urllib.parse import unquote_plus

from litestar import Request, Response
from msgspec import Struct

from restwell.errors import AppError, Unauthorized

JSON: Final = "application/json"
_OF_OAUTH: Final = frozenset({"invalid_client", "invalid_scope", "unsupported_grant_type"})
_UNAVAILABLE: Final = 500


class InvalidClient(Unauthorized):
    code, message = "invalid_client", "There is no such client, its secret is wrong, or it was revoked."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message)
        self.headers["www-authenticate"] = "Basic"


class InvalidScope(AppError):
    code, status, message = "invalid_scope", 400, "The client was not given this scope."


class UnsupportedGrantType(AppError):
    code, status, message = "unsupported_grant_type", 400, "Send grant_type=client_credentials; there is no other."


class OAuthError(Struct, frozen=True):
    """RFC 6749 5.2."""

    error: str
    error_description: str


def read_client_credentials(request: Request[Any, Any, Any], client_id: str, secret: str) -> tuple[str, str]:
    """The client's id and secret: by HTTP Basic, each encoded as in a form (RFC 6749 2.3.1), or those of the form. Raises InvalidClient."""
    header = request.headers.get("authorization")
    if header is None:
        return client_id, secret
    scheme, _, encoded = header.partition(" ")
    try:
        given, separator, its = b64decode(encoded, validate=True).decode("ascii").partition(":")
    except ValueError:
        raise InvalidClient from None
    if scheme.lower() != "basic" or not separator:
        raise InvalidClient
    return unquote_plus(given), unquote_plus(its)


def oauth_error_response(_request: Request[Any, Any, Any], error: AppError) -> Response[OAuthError]:
    """What clients of OAuth read in place of a problem. For a controller's ``exception_handlers``."""
    return Response(to_oauth_error(error), status_code=error.status, media_type=JSON, headers=error.headers)


def to_oauth_error(error: AppError) -> OAuthError:
    """With the nearest code that OAuth has."""
    code = error.code
    if code not in _OF_OAUTH:
        code = "temporarily_unavailable" if error.status >= _UNAVAILABLE else "invalid_request"
    return OAuthError(code, error.detail)
