"""The client credentials grant of an application (RFC 6749 4.4), as its OpenAPI document and metadata describe it."""

from collections.abc import Mapping

from msgspec import Struct


class ClientCredentials(Struct, frozen=True):
    """``token_path`` is the token endpoint. ``scopes`` maps every scope to its description."""

    token_path: str
    scopes: Mapping[str, str]
