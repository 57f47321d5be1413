"""``/.well-known``: what other servers need to know, to check our access tokens by themselves."""

from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

_KEPT: Final = {"cache-control": "public, max-age=300"}
"""A key that is added behind the others is known everywhere after five minutes, and may sign."""


def well_known_routes(public_keys: dict[str, Any] | None) -> list[HTTPRouteHandler]:
    """The JSON Web Key Set, where there are public keys."""
    if public_keys is None:
        return []
    keys = Response(msgspec.json.encode(public_keys), media_type="application/jwk-set+json", headers=_KEPT)

    @get("/.well-known/jwks.json", include_in_schema=False, sync_to_thread=False)
    def jwks() -> Response[bytes]:
        return keys

    return [jwks]
