"""The methods of generated servicers: which handler each calls, and how."""

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, get_args, get_origin

import grpc
import msgspec
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from msgspec import Struct
from pydantic import TypeAdapter

from restwell.database import Database
from restwell.errors import PROBLEMS, MalformedRequest
from restwell.grpc._messages import Expected, Read, Write, compile_reader, compile_writer, struct_fields
from restwell.idempotency import HEADER, REPLAYED_HEADER, StoredResponse, execute_once
from restwell.web import Request
from restwell.web._declarations import Handler
from restwell.web._decoding import decode_body
from restwell.web._encoding import encode_json
from restwell.web._endpoint import Endpoint
from restwell.web._parameters import Parameters
from restwell.web._transports import Operation, content_of, path_value, query_values

Call = Callable[[Request, bytes], Awaitable[Any]]


class Rpc(Struct, frozen=True):
    """The arguments of ``rpc``."""

    handler: Handler | str
    returns: Any
    omit: Sequence[str]


def rpc(handler: Handler | str, *, returns: Any = None, omit: Sequence[str] = ()) -> Any:
    """A method of a servicer that calls a handler of the application, as its route does.

    ``handler``: a method of a controller, a function with ``@get`` or another, or the name of a route's handler. The
    fields of the request are its path and query parameters and those of its body; the fields of the response are those
    of its result, or the only field is its result. A function that returns an ``AsyncIterator`` is a streaming method.
    ``returns``: the type of the result, if that of the handler is a union. ``omit``: query parameters without a field.
    """
    return Rpc(handler, returns, omit)


class Declared(Struct, frozen=True):
    """A method of a servicer. ``path``: as clients call it, ``/shop.v1.CatalogService/GetProduct``."""

    path: str
    rpc: Rpc
    descriptor: MethodDescriptor


class Method(Struct, frozen=True):
    """``call`` returns the response, or an iterator of responses for a stream."""

    endpoint: Endpoint
    operation: Operation
    is_stream: bool
    call: Callable[[Request, bytes], Awaitable[Any]]


class Replayed(Struct, frozen=True):
    """The stored response of an earlier call with the same key."""

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ((REPLAYED_HEADER.encode(), b"true"),)


def declared_methods(services: Iterable[type]) -> list[Declared]:
    """The methods of the servicers. Raises TypeError for a class that is none, or has a method without ``rpc``."""
    return [each for service in services for each in _methods_of(service)]


def _methods_of(service: type) -> Iterator[Declared]:
    recorder = _Recorder()
    for base in service.__mro__:
        add = getattr(sys.modules[base.__module__], f"add_{base.__name__}_to_server", None)
        if add is not None:
            add(service, recorder)
            break
    else:
        raise TypeError(f"{service.__name__} is no servicer: derive it from a class of a generated module _pb2_grpc")
    descriptor = Default().FindServiceByName(recorder.name)
    for method in descriptor.methods:
        declared = getattr(service, method.name)
        if not isinstance(declared, Rpc):
            raise TypeError(f"{service.__name__}.{method.name} calls no handler: write {method.name} = rpc(...)")
        if method.client_streaming:
            raise TypeError(f"{service.__name__}.{method.name} has a stream of requests, which is not supported")
        yield Declared(f"/{descriptor.full_name}/{method.name}", declared, method)


class _Recorder:
    """Takes what a generated module adds to a server: the full name of the service is nowhere else."""

    name = ""

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Not needed."""

    def add_registered_method_handlers(self, name: str, _handlers: object) -> None:
        self.name = name


def compile_method(declared: Declared, endpoint: Endpoint, database: Database) -> Method:
    """Raises TypeError for what gRPC cannot express, and if messages and handler have other fields."""
    try:
        return _compile(declared, endpoint, database)
    except TypeError as error:
        raise TypeError(f"{declared.path}: {error}") from None


def _compile(declared: Declared, endpoint: Endpoint, database: Database) -> Method:
    path, descriptor = declared.path, declared.descriptor
    returns = [declared.rpc.returns] if declared.rpc.returns is not None else [*endpoint.returns]
    if len(returns) > 1:
        raise TypeError(f"returns {' or '.join(map(str, returns))}: choose one with rpc(..., returns=...)")
    is_stream = bool(returns) and get_origin(returns[0]) is AsyncIterator
    if is_stream != descriptor.server_streaming:
        raise TypeError(f"returns {'a' if descriptor.server_streaming else 'no'} stream, and the handler does not")
    output = descriptor.output_type
    if returns:
        write = compile_writer(output, get_args(returns[0])[0] if is_stream else returns[0])
    else:
        empty = GetMessageClass(output)()
        write = lambda _: empty  # noqa: E731  # as the other writers
    call = _caller(declared, endpoint, write)
    if endpoint.idempotent:
        call = _once(call, path, GetMessageClass(descriptor.input_type), database)
    return Method(
        msgspec.structs.replace(endpoint, method="POST", path=path, path_types={}, cache=None, errors=PROBLEMS),
        Operation(
            kind="RPC",
            name=path,
            guards=endpoint.guards,
            query_budget=endpoint.query_budget,
            rate=endpoint.rate or None,
        ),
        is_stream,
        call,
    )


def _caller(declared: Declared, endpoint: Endpoint, write: Write) -> Call:
    """Calls the handler as the route does."""
    parameters = endpoint.parameters
    read, filter_names, data_names = _reader(declared, parameters)
    of_request = {
        name: get for name, get in parameters.read.items() if name not in parameters.path and name != "filters"
    }
    body = parameters.read_body[0] if parameters.read_body is not None else ""
    message_class = GetMessageClass(declared.descriptor.input_type)

    async def call(request: Request, data: bytes) -> Any:
        sent = read(_parse(message_class, data))
        values = {name: get(request) for name, get in of_request.items()}
        for each, kind in parameters.path.items():
            values[each] = path_value(sent.get(each, ""), kind)
        if parameters.filters is not None:
            values["filters"] = query_values(
                parameters.filters, {name: value for name, value in sent.items() if name in filter_names}
            )
        if body:
            own = {name: value for name, value in sent.items() if name in data_names}
            values[body] = decode_body(encode_json(own), parameters.data)
        result = await endpoint.handler(**values)
        if declared.descriptor.server_streaming:
            return _written(result, write)
        return write(content_of(result)).SerializeToString()

    return call


def _reader(declared: Declared, parameters: Parameters) -> tuple[Read, frozenset[str], frozenset[str]]:
    """Reads the request; the names of its fields that are query parameters, and those that are of the body."""
    if isinstance(parameters.data, TypeAdapter) or parameters.form is not None or parameters.upload:
        raise TypeError("takes a Pydantic model, a form or an upload: only the fields of a Struct can be in a message")
    fields = {name: Expected(msgspec.inspect.type_info(kind), True) for name, kind in parameters.path.items()}  # noqa: FBT003
    filters = struct_fields(parameters.filters) if parameters.filters is not None else {}
    unknown = set(declared.rpc.omit) - filters.keys()
    if unknown:
        raise TypeError(f"omits {', '.join(sorted(unknown))}, which is no query parameter")
    filters = {name: each for name, each in filters.items() if name not in declared.rpc.omit}
    data = struct_fields(parameters.data) if parameters.data is not None else {}
    twice = (fields.keys() & filters.keys()) | ((fields.keys() | filters.keys()) & data.keys())
    if twice:
        raise TypeError(f"has {', '.join(sorted(twice))} in its path, query or body at the same time")
    read = compile_reader(declared.descriptor.input_type, fields | filters | data)
    return read, frozenset(filters), frozenset(data)


def _parse(kind: type[Message], data: bytes) -> Message:
    try:
        return kind.FromString(data)
    except DecodeError:
        raise MalformedRequest("The request is no message of this method.") from None


async def _written(results: AsyncIterator[Any], write: Write) -> AsyncGenerator[bytes, None]:
    try:
        async for each in results:
            yield write(each).SerializeToString()
    finally:
        if isinstance(results, AsyncGenerator):
            await results.aclose()


def _once(call: Call, path: str, message_class: type[Message], database: Database) -> Call:
    """Stores the response under the key of the call, in the transaction of the handler."""

    async def call_once(request: Request, data: bytes) -> Any:
        async def operation() -> StoredResponse:
            return StoredResponse(200, {}, await call(request, data))

        body = _parse(message_class, data).SerializeToString(deterministic=True)
        stored = await execute_once(
            database, request.actor.id, request.headers.get(HEADER), f"RPC {path}", body, operation
        )
        return Replayed(stored.body) if stored.replayed else stored.body

    return call_once
