"""``/.well-known``: the key set and metadata that verify access tokens, and ``security.txt``."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from restwell.web._declarations import Handler, get
from restwell.web._docs import DOCUMENTS
from restwell.web._responses import Response
from restwell.web._token_endpoint import ClientCredentials

_CACHE_HEADERS: Final = {"cache-control": "public, max-age=300"}
"""After five minutes every client has a newly published key, and it may sign."""
_KEYS: Final = "/.well-known/jwks.json"
_SECURITY: Final = "/.well-known/security.txt"
_SECURITY_TXT_TTL: Final = timedelta(days=180)
_METADATA: Final = "/.well-known/oauth-authorization-server"


def well_known_routes(
    public_keys: dict[str, Any] | None, public_url: str | None, client_credentials: ClientCredentials | None
) -> list[Handler]:
    """Routes of the JSON Web Key Set, if keys are public, and with APP_URL of the server metadata (RFC 8414)."""
    if public_keys is None:
        return []
    routes = [_document(_KEYS, public_keys, "application/jwk-set+json")]
    if public_url is not None:
        routes.append(_document(_METADATA, _metadata(public_url, client_credentials), "application/json"))
    return routes


def security_txt(contact: str | None, public_url: str | None) -> list[Handler]:
    """The route of security.txt (RFC 9116), if a contact is configured. Its expiry is always 180 days ahead."""
    if contact is None:
        return []

    @get(_SECURITY, include_in_schema=False, rate_limit=DOCUMENTS)
    async def document() -> Response[bytes]:
        lines = [f"Contact: {contact}", f"Expires: {datetime.now(UTC) + _SECURITY_TXT_TTL:%Y-%m-%dT00:00:00Z}"]
        if public_url is not None:
            lines.append(f"Canonical: {public_url}{_SECURITY}")
        return Response(
            content="\n".join([*lines, ""]).encode(), media_type="text/plain; charset=utf-8", headers=_CACHE_HEADERS
        )

    return [document]


def _metadata(public_url: str, client_credentials: ClientCredentials | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"issuer": public_url, "jwks_uri": public_url + _KEYS, "response_types_supported": []}
    if client_credentials is not None:
        metadata |= {
            "token_endpoint": public_url + client_credentials.token_path,
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "scopes_supported": list(client_credentials.scopes),
        }
    return metadata


def _document(path: str, content: dict[str, Any], media_type: str) -> Handler:
    response = Response(content=msgspec.json.encode(content), media_type=media_type, headers=_CACHE_HEADERS)

    @get(path, include_in_schema=False, rate_limit=DOCUMENTS)
    async def document() -> Response[bytes]:
        return response

    return document
