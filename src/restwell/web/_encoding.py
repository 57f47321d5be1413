"""Encoding of results as JSON."""

from typing import Any, Final

import msgspec
from pydantic import BaseModel


def _encode_other(value: Any) -> Any:
    """Encoding hook of msgspec."""
    if isinstance(value, BaseModel):
        return msgspec.Raw(value.model_dump_json(by_alias=True).encode())
    if isinstance(value, str):  # a subclass
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be encoded as JSON")


encode_json: Final = msgspec.json.Encoder(enc_hook=_encode_other).encode
