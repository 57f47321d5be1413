"""Documents: parsed, checked and validated once, and the trusted ones that clients name by their hash."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from graphql import DocumentNode, GraphQLError, GraphQLSchema, parse, validate
from msgspec import Struct

from restwell._atomic_file import replacing
from restwell.errors import AppError, ConfigurationError
from restwell.graphql._errors import MAX_MESSAGE, DocumentNotTrusted, InvalidDocument
from restwell.graphql._fields import Limits
from restwell.graphql._plan import Plan, make_plans
from restwell.graphql._scan import scan

MAX_CACHED: Final = 1_000
_PREFIX: Final = "sha256:"


class Document(Struct, eq=False):
    """A document within the limits. ``plans``: its operations by name. ``is_valid``: once it was validated."""

    text: str
    node: DocumentNode
    plans: dict[str, Plan]
    is_valid: bool = False

    def plan(self, name: str | None) -> Plan:
        """The operation to run. Raises InvalidDocument if it is not clear which."""
        if name is None and len(self.plans) == 1:
            return next(iter(self.plans.values()))
        plan = self.plans.get(name or "")
        if plan is None:
            raise InvalidDocument("Name one of the operations of the document in operationName.")
        return plan


class Documents:
    """The documents of an application. The last MAX_CACHED ones stay parsed.

    ``trusted``: texts by hash. ``only_trusted``: no others run.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        limits: Limits,
        trusted: Mapping[str, str],
        *,
        only_trusted: bool,
        introspection: bool,
    ) -> None:
        self._schema = schema
        self._limits = limits
        self._trusted = trusted
        self._only_trusted = only_trusted
        self._introspection = introspection
        self._known: OrderedDict[str, Document] = OrderedDict()

    def find(self, text: str | None, document_id: str | None) -> Document:
        """The document with this text, or the trusted one with this id. Raises an AppError."""
        if document_id is not None:
            text = self._trusted.get(document_id.removeprefix(_PREFIX))
            if text is None:
                raise DocumentNotTrusted("No document has this documentId.")
        if text is None:
            raise InvalidDocument("Send a query, or the documentId of a trusted document.")
        known = self._known.get(text)
        if known is not None:
            self._known.move_to_end(text)
            return known
        if self._only_trusted and hash_of(text) not in self._trusted:
            raise DocumentNotTrusted
        return self._parse(text)

    def validate(self, document: Document) -> None:
        """Validate the document, once: it takes longer than all other checks. Raises InvalidDocument."""
        if document.is_valid:
            return
        errors = validate(self._schema, document.node, max_errors=1, hide_suggestions=True)
        if errors:
            raise InvalidDocument(errors[0].message[:MAX_MESSAGE])
        document.is_valid = True
        self._known[document.text] = document
        if len(self._known) > MAX_CACHED:
            self._known.popitem(last=False)

    def check(self, text: str) -> None:
        """Raises an AppError for a document that would be refused, whatever its variables are."""
        self.validate(self._parse(text))

    def _parse(self, text: str) -> Document:
        scan(text, self._limits)
        try:
            node = parse(text, no_location=True)
        except GraphQLError as error:
            line = f" (line {error.locations[0].line})" if error.locations else ""
            raise InvalidDocument(error.message[:MAX_MESSAGE] + line) from None
        return Document(text, node, make_plans(self._schema, node, self._limits, introspection=self._introspection))


def hash_of(text: str) -> str:
    """The id of a document: SHA-256 of its text, in hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_trusted(path: Path | None) -> dict[str, str]:
    """The trusted documents of the file by hash. Raises ConfigurationError for a file that cannot be read."""
    if path is None or not path.exists():
        return {}
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError([f"{path}: {error}; write it with restwell graphql persist"]) from None
    wrong = [each for each, text in found.items() if hash_of(text) != each]
    if wrong:
        raise ConfigurationError([f"{path}: {wrong[0]} is not the hash of its document; use restwell graphql persist"])
    return found


def write_trusted(path: Path, documents: Mapping[str, str]) -> None:
    with replacing(path) as draft:
        ordered = dict(sorted(documents.items()))
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(ordered), indent=2) + b"\n")


def find_faults(documents: Documents, texts: Mapping[str, str]) -> list[str]:
    """What is wrong with each text, by the name of its file or its hash."""
    faults = []
    for name, text in texts.items():
        try:
            documents.check(text)
        except AppError as error:
            faults.append(f"{name}: {error.detail}")
    return faults
