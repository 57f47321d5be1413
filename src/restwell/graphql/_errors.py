"""Why a document is refused before it runs."""

from restwell.errors import AppError


class InvalidDocument(AppError):
    """The document is no GraphQL, or does not match the schema."""

    code, status, message = "invalid_document", 400, "The document does not match the schema."


class DocumentTooComplex(AppError):
    """The document exceeds a limit of length, depth, aliases or cost."""

    code, status, message = "document_too_complex", 400, "The document is too large. Split it into several requests."


class DocumentNotTrusted(AppError):
    """The server runs trusted documents only, and this is none."""

    code, status = "document_not_trusted", 400
    message = "This server runs known documents only. Send the documentId of one."


class IntrospectionDisabled(AppError):
    """The document asks for the schema."""

    code, status, message = "introspection_disabled", 400, "This server does not describe its schema."
