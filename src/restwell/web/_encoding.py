"""Encoding of results as JSON."""

from collections.abc import Coroutine
from typing import Any, Final

import msgspec
from pydantic import BaseModel

NO_JSON: Final = "cannot be encoded as JSON: use a Struct, a dataclass, a Pydantic model or a builtin type"


def _encode_other(value: Any) -> Any:
    """Encoding hook of msgspec."""
    if isinstance(value, BaseModel):
        return msgspec.Raw(value.model_dump_json(by_alias=True).encode())
    if isinstance(value, str):  # a subclass
        return str(value)
    if isinstance(value, Coroutine):
        value.close()
        raise NotImplementedError("a coroutine is no result: write await before the call")
    raise NotImplementedError(f"{type(value).__name__} {NO_JSON}")


encode_json: Final = msgspec.json.Encoder(enc_hook=_encode_other).encode
