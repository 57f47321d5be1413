"""Builds the schema: a field for each handler, and for each relation of an object."""

import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, get_args, get_origin, get_type_hints

import msgspec
from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    validate_schema,
)
from msgspec import Struct
from pydantic import TypeAdapter

from restwell.auth import Actor
from restwell.database import Database
from restwell.errors import NotFound
from restwell.graphql._fields import Field, relation_of
from restwell.graphql._plan import OPERATION
from restwell.graphql._types import PAGE_ARGUMENTS, SIZE, Connection, Types, camel, unwrap
from restwell.idempotency import HEADER, StoredResponse, execute_once
from restwell.pages import Page, PageFilter
from restwell.web import Request
from restwell.web._decoding import decode_body
from restwell.web._encoding import encode_json
from restwell.web._endpoint import Endpoint
from restwell.web._parameters import FindService
from restwell.web._transports import Operation, content_of, path_value, query_values
from restwell.web._validation import decode_hook

Arguments = Mapping[str, Any]
Resolve = Callable[..., Any]
INPUT: Final = "input"
"""The argument with the body of the route."""


class Execution(Struct):
    """The context of the resolvers. ``is_replayed``: whether a mutation had the stored result of an earlier request."""

    request: Request
    is_replayed: bool = False


def build_schema(
    roots: Mapping[str, Mapping[str, tuple[Field, Endpoint]]],
    relations: Sequence[Resolve],
    find_service: FindService,
    database: Database,
) -> tuple[GraphQLSchema, list[Operation]]:
    """The schema, and what its fields call. Raises TypeError for what GraphQL cannot express, naming the field.

    ``roots``: the fields of Query, Mutation and Subscription.
    """
    builder = _Builder(relations, find_service, database)
    if not roots["Query"]:
        raise TypeError("GraphQL needs a field in queries=: a schema without Query is not valid")
    query, mutation, subscription = (builder.root(*root) if root[1] else None for root in roots.items())
    schema = GraphQLSchema(query, mutation, subscription)
    errors = validate_schema(schema)
    if errors:
        raise TypeError(f"the schema of GraphQL is not valid: {errors[0].message}")
    builder.check_relations()
    return schema, builder.operations


class _Builder:
    def __init__(self, relations: Sequence[Resolve], find_service: FindService, database: Database) -> None:
        self.operations: list[Operation] = []
        self._relations: dict[type, list[Resolve]] = {}
        self._find_service = find_service
        self._database = database
        self._types = Types(self._fields_of)
        for each in relations:
            relation_of(each)
            kind = next(iter(get_type_hints(each).values()), None)
            if not (isinstance(kind, type) and issubclass(kind, Struct)):
                raise TypeError(f"{each.__qualname__}: annotate its first parameter with the Struct that has it")
            self._relations.setdefault(kind, []).append(each)

    def root(self, name: str, declared: Mapping[str, tuple[Field, Endpoint]]) -> GraphQLObjectType:
        fields = {}
        for each, (field, endpoint) in declared.items():
            try:
                fields[each] = self._operation(name.upper(), each, field, endpoint)
            except TypeError as error:
                raise TypeError(f"the field {each} of {name}: {error}") from None
        return GraphQLObjectType(name, fields)

    def check_relations(self) -> None:
        """Raises TypeError for a relation of a Struct that no handler returns."""
        if self._relations:
            names = ", ".join(each.__name__ for each in self._relations)
            raise TypeError(f"no field of GraphQL has a {names}: remove its relations")

    def _operation(self, kind: str, name: str, field: Field, endpoint: Endpoint) -> GraphQLField:
        returns = [field.returns] if field.returns is not None else [*endpoint.returns]
        if len(returns) > 1:
            raise TypeError(f"returns {' or '.join(map(str, returns))}: choose one with Field(returns=...)")
        is_stream = get_origin(returns[0]) is AsyncIterator if returns else False
        if is_stream != (kind == "SUBSCRIPTION"):
            raise TypeError(f"returns {'an' if is_stream else 'no'} AsyncIterator, as a field of subscriptions= does")
        operation = Operation(
            kind=kind,
            name=name,
            guards=endpoint.guards,
            query_budget=endpoint.query_budget,
            rate=endpoint.rate or None,
        )
        self.operations.append(operation)
        result: Any = get_args(returns[0])[0] if is_stream else returns[0] if returns else None
        given, size = self._types.output(result | None) if returns else (GraphQLBoolean, None)
        run = self._runner(name, endpoint, result)
        return GraphQLField(
            given,
            self._arguments(endpoint, frozenset(field.omit)),
            resolve=_event if is_stream else run,
            subscribe=run if is_stream else None,
            description=endpoint.doc.partition("\n\n")[0],
            extensions={SIZE: size, OPERATION: operation},
        )

    def _arguments(self, endpoint: Endpoint, omit: frozenset[str]) -> dict[str, GraphQLArgument]:
        parameters = endpoint.parameters
        found = {
            camel(name): GraphQLArgument(self._types.input(kind), out_name=name)
            for name, kind in parameters.path.items()
        }
        if parameters.filters is not None:
            unknown = omit - set(parameters.filters.__struct_encode_fields__)
            if unknown:
                raise TypeError(f"omits {', '.join(sorted(unknown))}, which is no query parameter")
            found |= self._types.arguments(parameters.filters, omit)
        if isinstance(parameters.data, TypeAdapter) or parameters.form is not None or parameters.upload:
            raise TypeError("takes a Pydantic model, a form or an upload: only a Struct can be an argument")
        if parameters.data is not None:
            found[INPUT] = GraphQLArgument(self._types.input(parameters.data))
        return found

    def _runner(self, name: str, endpoint: Endpoint, returns: Any) -> Resolve:
        """Calls the handler as the route does."""
        parameters, database = endpoint.parameters, self._database
        of_request = {
            name: read for name, read in parameters.read.items() if name not in parameters.path and name != "filters"
        }
        body = parameters.read_body[0] if parameters.read_body is not None else ""
        target = f"MUTATION {name}"

        async def resolve(_source: object, info: Any, /, **given: Any) -> Any:
            execution: Execution = info.context
            request = execution.request
            values = {each: read(request) for each, read in of_request.items()}
            for each, kind in parameters.path.items():
                values[each] = path_value(given[each], kind)
            if parameters.filters is not None:
                values["filters"] = _filters(parameters.filters, given)
            if body:
                values[body] = decode_body(encode_json(given[INPUT]), parameters.data)
            if endpoint.idempotent:
                result = await once(request, execution, values, given)
            else:
                result = content_of(await endpoint.handler(**values))
            if isinstance(result, Page):
                return Connection(result, given.get("cursor") is not None)
            return result if returns is not None else True

        async def once(request: Request, execution: Execution, values: Arguments, given: Arguments) -> Any:
            async def operation() -> StoredResponse:
                return StoredResponse(
                    endpoint.status_code, {}, encode_json(content_of(await endpoint.handler(**values)))
                )

            stored = await execute_once(
                database, request.actor.id, request.headers.get(HEADER), target, encode_json(given), operation
            )
            execution.is_replayed = stored.replayed
            return msgspec.json.decode(stored.body, type=returns or Any, dec_hook=decode_hook)

        return resolve

    def _fields_of(self, kind: type) -> dict[str, GraphQLField]:
        """The relations of an object."""
        return {camel(each.__name__): self._relation(kind, each) for each in self._relations.pop(kind, [])}

    def _relation(self, kind: type, function: Resolve) -> GraphQLField:
        try:
            return self._compiled_relation(kind, function)
        except TypeError as error:
            raise TypeError(f"{function.__qualname__}: {error}") from None

    def _compiled_relation(self, kind: type, function: Resolve) -> GraphQLField:
        declared, hints = relation_of(function), get_type_hints(function, include_extras=True)
        source_name, *names = inspect.signature(function).parameters
        returned, size = self._types.output(hints["return"])
        _, _, nullable = unwrap(hints["return"])
        filters: type[Struct] | None = hints.get("filters")
        takes_actor = hints.get("actor") is Actor
        if takes_actor and not declared.guards:
            raise TypeError("takes actor: add guards=[signed_in] or another that authenticates")
        bound = partial(function, **self._services_of(names, hints))
        operation = Operation(
            kind="FIELD",
            name=f"{kind.__name__}.{camel(function.__name__)}",
            guards=declared.guards,
            query_budget=declared.query_budget,
        )
        self.operations.append(operation)

        async def resolve(source: object, info: Any, /, **given: Any) -> Any:
            values = {source_name: source}
            if takes_actor:
                values["actor"] = info.context.request.actor
            if filters is not None:
                values["filters"] = _filters(filters, given)
            try:
                result = await bound(**values)
            except NotFound:
                if nullable:
                    return None
                raise
            return Connection(result, given.get("cursor") is not None) if isinstance(result, Page) else result

        return GraphQLField(
            returned,
            self._types.arguments(filters) if filters is not None else {},
            resolve=resolve,
            description=inspect.getdoc(function),
            extensions={SIZE: size, OPERATION: operation},
        )

    def _services_of(self, names: Sequence[str], hints: Mapping[str, Any]) -> dict[str, object]:
        services = {name: self._find_service(hints[name]) for name in names if name not in {"actor", "filters"}}
        for name, service in services.items():
            if service is None:
                raise TypeError(f"takes {name}: no service is a {hints[name]}")
        return services


def _event(event: object, _info: object, /, **_given: object) -> object:
    """The value of a field of Subscription."""
    return event


def _filters(kind: type[Struct], given: Arguments) -> Struct:
    """The query parameters. Raises Invalid with every field error."""
    values = {name: given[name] for name in kind.__struct_encode_fields__ if given.get(name) is not None}
    is_page = issubclass(kind, PageFilter)
    return query_values(kind, values, lambda name: (PAGE_ARGUMENTS.get(name) if is_page else None) or camel(name))
