"""Where machine clients get their tokens, and for what."""

from collections.abc import Mapping

from msgspec import Struct


class ClientCredentials(Struct, frozen=True):
    """``token_path`` is the token endpoint; ``scopes`` are all there are, each with what it allows."""

    token_path: str
    scopes: Mapping[str, str]
