"""Why a document is refused before it runs, and the problems of its fields."""

from typing import Final

from graphql import GraphQLError

from restwell.errors import AppError, Invalid
from restwell.web._dispatch import expected_error

MAX_MESSAGE: Final = 300


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


class EventStreamRequired(AppError):
    """The client subscribes without accepting events."""

    code, status, message = "event_stream_required", 406, "Subscribe with Accept: text/event-stream."


class TooManySubscriptions(AppError):
    """The client has as many open subscriptions as it may."""

    code, status, message = "too_many_subscriptions", 429, "You have too many open subscriptions. Close one of them."


class IntrospectionDisabled(AppError):
    """The document asks for the schema."""

    code, status, message = "introspection_disabled", 400, "This server does not describe its schema."


def problem_of(error: GraphQLError, path: str) -> AppError:
    """The problem that the route would respond with."""
    cause = error.original_error
    return expected_error(cause, path) if cause is not None else Invalid(error.message[:MAX_MESSAGE])
