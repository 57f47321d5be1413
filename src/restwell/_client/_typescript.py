"""Writes the TypeScript client: ``types.ts`` and ``api.ts`` from the description, and ``runtime.ts`` as it is."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib import resources
from typing import Final

from restwell._client._folder import MARK
from restwell._client._model import Api, ErrorCode, Operation, Parameter
from restwell._client._typescript_types import comment, key, member, type_of, written_types
from restwell.errors import ConfigurationError

_RUNTIME: Final = ("ApiError", "HttpClient", "Listing", "etagOf", "newKey", "path")
_TYPES_OF_RUNTIME: Final = ("CallOptions", "ChangeOptions", "ClientOptions", "KeyedOptions")
_NO_NAMES_OF_ARGUMENTS: Final = {"body", "class", "default", "delete", "file", "in", "new", "options", "query"}
_NO_NAMES_OF_METHODS: Final = {"call", "constructor", "then", "toString", "valueOf"}
_PLAIN: Final = {"integer": "number", "any": "unknown"}
_sent: Final = partial(type_of, is_open=False)
_received: Final = partial(type_of, is_open=True)
_RAW: Final = {"file": "Blob", "bytes": "Blob", "text": "string"}
_OPEN: Final = {str: "(string & {})", int: "(number & {})", float: "(number & {})"}
_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)


def typescript_client(api: Api) -> Mapping[str, str]:
    """The files of the client, by name. Raises ConfigurationError for what no client can be made of."""
    runtime = resources.files(__package__).joinpath("runtime.ts").read_text(encoding="utf-8")
    contents = {"runtime.ts": runtime, "types.ts": written_types(api), "api.ts": _api(api)}
    return {name: f"// {MARK}\n{content}" for name, content in contents.items()}


def _api(api: Api) -> str:
    names = _error_names(api.errors)
    lines: list[str] = []
    for error in api.errors:
        statuses = " or ".join(map(str, error.statuses))
        lines += comment("", f"{error.message}\n\nThe code `{error.code}`, with status {statuses}.")
        lines += [f"export class {names[error.code]} extends ApiError {{"]
        lines += [f"  override name = {json.dumps(names[error.code])};", "}", ""]
    lines += ["const API = {", f"  scheme: {json.dumps(api.scheme)},"]
    lines += [f"  codeProperty: {json.dumps(api.code_property)},", "  errors: {"]
    lines += [f"    {key(code)}: {name}," for code, name in names.items()]
    lines += ["  },"]
    lines += [f"  refreshPath: {json.dumps(api.refresh)},"] if api.refresh is not None else []
    lines += [f"  tokenPath: {json.dumps(api.token_url)},"] if api.token_url is not None else []
    lines += ["};", ""]
    methods: list[str] = []
    taken = set(_NO_NAMES_OF_METHODS)
    for operation in api.operations:
        if any(success.kind != "redirect" for success in operation.successes):  # the others are for navigation
            name = _unique(_camel(operation.id), taken)
            query = f"{name[0].upper()}{name[1:]}Query"
            lines += _query_interface(query, queries) if (queries := _in(operation, "query")) else ()
            methods += ["", *_method(operation, name, query)]
    lines += ["/** A method for each operation. */", "export class Client extends HttpClient {"]
    lines += ["  constructor(options: ClientOptions) {", "    super(options, API);", "  }", *methods, "}", ""]
    return "\n".join([*_imports(api, "\n".join(lines)), *lines])


def _imports(api: Api, code: str) -> Iterator[str]:
    def used(names: Iterable[str]) -> str:
        return ", ".join(name for name in names if re.search(rf"\b{name}\b", code))

    yield from comment("", f"A client of {api.title}.\n\n{api.description}")
    yield f'import {{ {used(_RUNTIME)} }} from "./runtime.js";'
    yield f'import type {{ {used(_TYPES_OF_RUNTIME)} }} from "./runtime.js";'
    yield 'import type * as types from "./types.js";'
    yield ""
    yield 'export { ApiError, ConnectionError, Listing, etagOf } from "./runtime.js";'
    yield 'export type { CallOptions, ChangeOptions, ClientOptions, KeyedOptions, Tokens } from "./runtime.js";'
    yield 'export type * from "./types.js";'
    yield ""


def _error_names(errors: Iterable[ErrorCode]) -> dict[str, str]:
    taken = {*_RUNTIME, "Client", "ConnectionError"}
    return {each.code: _unique(_pascal(each.code).removesuffix("Error") + "Error", taken) for each in errors}


def _query_interface(name: str, queries: Iterable[Parameter]) -> Iterator[str]:
    yield f"export interface {name} {{"
    for each in queries:
        yield from comment("  ", each.description, deprecated=each.deprecated)
        yield f"  {member(each.name, _sent(each.type), required=each.required)}"
    yield from ("}", "")


def _method(operation: Operation, name: str, query: str) -> Iterator[str]:
    taken = set(_NO_NAMES_OF_ARGUMENTS)
    in_path = {each: _unique(_camel(each.name), taken) for each in _in(operation, "path")}
    arguments = [f"{argument}: {_sent(each.type)}" for each, argument in in_path.items()]
    fields = {"method": json.dumps(operation.method.upper()), "path": _template(operation.path, in_path)}
    if (body := operation.body) is not None:
        argument = "file" if body.kind == "file" else "body"
        kind = _RAW.get(body.kind) or _sent(body.type)
        arguments.append(f"{argument}: {kind}{'' if body.required else ' | undefined'}")
        fields["body"] = _object({key(body.part or ""): "file"}) if body.kind == "file" else "body"
        fields["sends"] = json.dumps(body.media_type)
    if queries := _in(operation, "query"):
        arguments.append(f"query: {query}{'' if any(each.required for each in queries) else ' = {}'}")
        fields["query"] = "query"
    options, headers = _options(operation)
    arguments.append(options)
    fields |= {"headers": f"{{ {', '.join(headers)} }}"} if headers else {}
    result, reading = _result(operation)
    fields |= reading
    fields |= {"open": "true"} if not operation.authenticated else {}
    fields |= {"signsIn": "true"} if operation.signs_in else {}
    yield from comment("  ", operation.description, deprecated=operation.deprecated)
    if (page := operation.page) is None:
        yield f"  {name}({', '.join(arguments)}): Promise<{result}> {{"
        yield f"    return this.call({_object(fields)}, options);"
    else:
        paging = {"items": page.items, "next": page.next, "form": page.form, "parameter": page.parameter}
        sent = _object({**fields, "query": "page"})
        yield f"  {name}({', '.join(arguments)}): Listing<{result}, {_received(page.item)}> {{"
        yield f"    const read = (page: object): Promise<{result}> => this.call({sent}, options);"
        yield f"    return new Listing(read, query, {json.dumps(paging)});"
    yield "  }"


def _in(operation: Operation, place: str) -> list[Parameter]:
    return [each for each in operation.parameters if each.place == place]


def _object(fields: Mapping[str, str]) -> str:
    return f"{{ {', '.join(name if name == value else f'{name}: {value}' for name, value in fields.items())} }}"


def _template(path: str, names: Mapping[Parameter, str]) -> str:
    """The path as a tagged template, whose values are encoded."""
    escaped = re.sub(r"[`\\$]", r"\\\g<0>", path)
    for each, name in names.items():
        escaped = escaped.replace(f"{{{each.name}}}", f"${{{name}}}")
    return f"path`{escaped}`"


def _options(operation: Operation) -> tuple[str, list[str]]:
    """The argument with the options of a call, and the headers that are sent because of them."""
    own, headers = [], []
    if operation.idempotent:
        headers.append('"Idempotency-Key": options.idempotencyKey ?? newKey()')
    if operation.if_match:
        headers.append('"If-Match": etagOf(options.ifMatch)')
    for each in _in(operation, "header"):
        own.append(member(_camel(each.name), "string", required=each.required))
        headers.append(f"{json.dumps(each.name)}: options.{_camel(each.name)}")
    kinds = ["KeyedOptions"] * operation.idempotent + ["ChangeOptions"] * operation.if_match or ["CallOptions"]
    required = operation.if_match or any(each.required for each in _in(operation, "header"))
    kinds += [f"{{ {' '.join(own)} }}"] if own else []
    return f"options: {' & '.join(kinds)}{'' if required else ' = {}'}", headers


def _result(operation: Operation) -> tuple[str, dict[str, str]]:
    """The type of the result, and the fields that say how it is read."""
    answers = [each for each in operation.successes if each.kind != "redirect"]
    bodies = [each for each in answers if each.kind != "none"]
    if not bodies:
        return "void", {}
    if len(kinds := sorted({each.kind for each in bodies})) > 1:
        where = f"{operation.method.upper()} {operation.path}"
        raise ConfigurationError([f"{where}: bodies of several kinds, {' and '.join(kinds)}"])
    types = dict.fromkeys(_RAW.get(each.kind) or _received(each.type) for each in bodies)
    fields = {"receives": json.dumps(kinds[0])}
    if len(bodies) < len(answers):
        return " | ".join([*types, "undefined"]), {**fields, "mayBeEmpty": "true"}
    return " | ".join(types), fields


def _camel(name: str) -> str:
    words = _pascal(name)
    return words[:1].lower() + words[1:]


def _pascal(name: str) -> str:
    words = re.split(r"[^A-Za-z0-9]+", name)
    joined = "".join(word[:1].upper() + word[1:] for word in words)
    return joined if joined[:1].isalpha() else f"N{joined}"


def _unique(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
