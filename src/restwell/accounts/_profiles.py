"""The application's own fields of accounts, stored as one JSON document."""

from typing import Any, Final

from msgspec import DecodeError, Struct, ValidationError, defstruct, json, msgpack

from restwell.accounts._merge_patch import merge, merge_patch_type
from restwell.errors import FieldError, Invalid
from restwell.web._validation import decode_hook, find_field_errors

MAX_BYTES: Final = 16_384
"""The maximum size of a stored profile, which is read with its account and cached."""


class Profiles:
    """Reads and changes stored profiles of one type.

    A document has what users have set, and no defaults: so a field with a default can be added without a migration.
    """

    def __init__(self, kind: type[Struct]) -> None:
        if not getattr(getattr(kind, "__struct_config__", None), "frozen", False):
            raise TypeError(f"Accounts: profile must be a Struct with frozen=True, because it is cached, not {kind!r}")
        self.kind = kind
        self._names = frozenset(kind.__struct_encode_fields__)
        self._decoder = json.Decoder(kind, dec_hook=decode_hook)
        try:
            self._empty = self._decoder.decode(b"{}")
        except ValidationError as error:
            raise TypeError(
                f"Accounts: give every field of {kind.__name__} a default, because an identity provider, for example,"
                f" creates accounts without a profile: {error}"
            ) from None
        self.patch_type = merge_patch_type(kind)
        self._body_type: Any = defstruct("_Body", [("profile", kind)])

    def read(self, document: str | None) -> Struct:
        """The profile of a stored document. A member that no longer fits its field has the default of the field."""
        if document is None:
            return self._empty
        try:
            return self._decoder.decode(document)
        except DecodeError:
            return self._decoder.decode(json.encode(self._fitting(_members(document))))

    def change(self, document: str | None, patch: Struct) -> str:
        """The document to store. Members that are no fields stay: another release may have set them.

        Raises Invalid with every field error, and for more than MAX_BYTES.
        """
        stored = _members(document) if document is not None else {}
        body = {"profile": merge(self._fitting(stored), json.decode(json.encode(patch)))}
        try:
            msgpack.encode(json.decode(json.encode(body), type=self._body_type, dec_hook=decode_hook))
        except ValidationError as error:
            raise Invalid(errors=find_field_errors(body, self._body_type, error)) from None
        except OverflowError:  # it could not be cached
            raise Invalid(errors=[FieldError("$.profile", "Expected integers of at most 64 bits")]) from None
        others = {name: value for name, value in stored.items() if name not in self._names}
        changed = json.encode(others | body["profile"])
        if len(changed) > MAX_BYTES:
            raise Invalid(errors=[FieldError("$.profile", f"Expected at most {MAX_BYTES:,} bytes of JSON")])
        return changed.decode()

    def _fitting(self, members: dict[str, Any]) -> dict[str, Any]:
        """The members that fit their fields, and each other."""
        known = {name: value for name, value in members.items() if name in self._names}
        if self._fits(known):
            return known
        fitting = {name: value for name, value in known.items() if self._fits({name: value})}
        return fitting if self._fits(fitting) else {}

    def _fits(self, members: dict[str, Any]) -> bool:
        try:
            self._decoder.decode(json.encode(members))
        except ValidationError:
            return False
        return True


def _members(document: str) -> dict[str, Any]:
    try:
        return json.decode(document, type=dict[str, Any])
    except DecodeError:  # not written by ``change``
        return {}
