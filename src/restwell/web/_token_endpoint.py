"""The OAuth 2.0 token endpoint for the client credentials grant (RFC 6749 4.4)."""

from base64 import b64decode
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_plus

from msgspec import Struct

from restwell.errors import AppError, ErrorFormat, Unauthorized
from restwell.web._request import JSON, Request

_OAUTH_CODES: Final = frozenset({"invalid_client", "invalid_scope", "unsupported_grant_type"})
_SERVER_ERROR: Final = 500


class ClientCredentials(Struct, frozen=True):
    """The grant as the OpenAPI document and the metadata describe it.

    ``token_path`` is the token endpoint. ``scopes`` maps every scope to its description.
    """

    token_path: str
    scopes: Mapping[str, str]


class InvalidClient(Unauthorized):
    """OAuth ``invalid_client``: unknown or revoked client, or wrong secret."""

    code, message = "invalid_client", "The client is unknown or revoked, or its secret is wrong."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message)
        self.headers["www-authenticate"] = "Basic"


class InvalidScope(AppError):
    """OAuth ``invalid_scope``: the client asked for a scope that it does not have."""

    code, status, message = "invalid_scope", 400, "The client does not have this scope."


class UnsupportedGrantType(AppError):
    """OAuth ``unsupported_grant_type``: anything but ``client_credentials``."""

    code, status, message = "unsupported_grant_type", 400, "Only grant_type=client_credentials is supported."


class OAuthError(Struct, frozen=True):
    """An error response of the token endpoint (RFC 6749 5.2)."""

    error: str
    error_description: str


def read_client_credentials(request: Request, client_id: str, secret: str) -> tuple[str, str]:
    """Return the client id and secret of HTTP Basic (form-encoded, RFC 6749 2.3.1), or those of the form.

    Raises InvalidClient for a malformed header.
    """
    header = request.headers.get("authorization")
    if header is None:
        return client_id, secret
    scheme, _, encoded = header.partition(" ")
    try:
        basic_id, separator, basic_secret = b64decode(encoded, validate=True).decode("ascii").partition(":")
    except ValueError:
        raise InvalidClient from None
    if scheme.lower() != "basic" or not separator:
        raise InvalidClient
    return unquote_plus(basic_id), unquote_plus(basic_secret)


def _to_oauth_error(error: AppError, _request_id: str) -> OAuthError:
    """Map the error to an OAuth error code."""
    code = error.code
    if code not in _OAUTH_CODES:
        code = "temporarily_unavailable" if error.status >= _SERVER_ERROR else "invalid_request"
    return OAuthError(code, error.detail)


OAUTH_ERRORS: Final = ErrorFormat(JSON, _to_oauth_error, OAuthError)
"""The error format of a token endpoint: ``error_format = OAUTH_ERRORS`` in its controller."""
