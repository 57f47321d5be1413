"""Writes a Python client: ``client.py``, ``errors.py``, ``models.py`` and the runtime, which is a file of the kit."""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from itertools import chain
from textwrap import fill, indent
from typing import Final

from restwell._client._folder import MARK
from restwell._client._model import Api, Operation, Page, Parameter, Plain, Success
from restwell._client._python_types import (
    RESERVED,
    Types,
    class_name,
    docstring,
    identifier,
    literal,
    unique,
    write_models,
)

HEADER: Final = f"# {MARK}\n# ruff: noqa\n"
_OWN_NAMES: Final = RESERVED | {"data", "file", "filename", "idempotency_key", "if_match", "result", "page"}
_LINE_CHARS: Final = 80
_LONG_CHARS: Final = 45
_UNFORMATTED: Final = "# fmt: off\n"
"""The runtime has the line length of the kit. The other files are as the formatter leaves them, whatever the length."""
_COMMON: Final = 0.5
"""A code that more than this part of the operations has is not listed with each of them."""
_INIT: Final = """
from . import errors, models
from .client import Client
from .runtime import (
    ApiError,
    ClientError,
    ConnectionFailed,
    FieldError,
    Tagged,
    Tokens,
    UnexpectedResponse,
)

__all__ = [
    "ApiError",
    "Client",
    "ClientError",
    "ConnectionFailed",
    "FieldError",
    "Tagged",
    "Tokens",
    "UnexpectedResponse",
    "errors",
    "models",
]
"""


def write_python(api: Api) -> dict[str, str]:
    """The files of the package, by name. The same API gives the same bytes."""
    types = Types(api)
    runtime = resources.files(__package__).joinpath("_python_runtime.py").read_text(encoding="utf-8")
    files = {
        "__init__.py": "\n".join([*docstring(f"A client of {api.title}.\n\n{api.description}"), _INIT]).rstrip() + "\n",
        "client.py": _write_client(api, types),
        "errors.py": _write_errors(api),
        "models.py": write_models(api, types),
        "runtime.py": _UNFORMATTED + runtime,
        "py.typed": "",
    }
    return {name: HEADER + content for name, content in files.items()}


def _classes_of_errors(api: Api) -> dict[str, str]:
    names = unique(class_name(each.code) for each in api.errors)
    own = {"ApiError", "Mapping"}
    return {each.code: f"{name}_" if name in own else name for each, name in zip(api.errors, names, strict=True)}


def _write_errors(api: Api) -> str:
    classes = _classes_of_errors(api)
    lines = [
        '"""An exception for each error code of the API."""',
        "",
        "from collections.abc import Mapping",
        "",
        "from .runtime import ApiError",
    ]
    for error in api.errors:
        statuses = " or ".join(map(str, error.statuses))
        text = indent("\n".join(docstring(f"{error.message}\n\nStatus {statuses}.".strip())), "    ")
        lines += ["", "", f"class {classes[error.code]}(ApiError):", text]
    entries = [f"    {literal(code)}: {name}," for code, name in classes.items()]
    opening, closing = "BY_CODE: Mapping[str, type[ApiError]] = {", ["}"] if entries else []
    table = [opening if entries else f"{opening}}}", *entries, *closing]
    return "\n".join([*lines, *([""] * (2 if entries else 1)), *table, ""])


def _write_client(api: Api, types: Types) -> str:
    classes, common = _classes_of_errors(api), _common_codes(api)
    names = unique(identifier(each.id) for each in api.operations)
    methods = list(
        chain.from_iterable(
            _Method(each, name, types).lines({code: classes[code] for code in _codes(each) if code not in common})
            for each, name in zip(api.operations, names, strict=True)
        )
    )
    paths = [
        f"_{name} = {literal(value)}"
        for name, value in (
            ("refresh_path", api.refresh),
            ("token_path", api.token_url),
            ("scheme", api.scheme),
            ("code_property", api.code_property),
        )
        if value is not None
    ]
    body = ['"""The operations of the API. See ApiClient for its arguments."""', "", *paths, "_errors = errors.BY_CODE"]
    return "\n".join(
        [
            '"""The operations of the API."""',
            "",
            "from __future__ import annotations",
            "",
            "import datetime",
            "import decimal",
            "import uuid",
            "from collections.abc import AsyncIterator",
            "from typing import Any",
            "",
            "import msgspec",
            "",
            "from . import errors, models, runtime",
            "",
            "",
            "class Client(runtime.ApiClient):",
            indent("\n".join([*body, *methods]), "    "),
            "",
        ]
    )


def _codes(operation: Operation) -> list[str]:
    return list(dict.fromkeys(chain.from_iterable(operation.errors.values())))


def _common_codes(api: Api) -> set[str]:
    codes = list(chain.from_iterable(map(_codes, api.operations)))
    return {code for code in codes if codes.count(code) > _COMMON * len(api.operations)}


class _Method:
    """The method of an operation."""

    def __init__(self, operation: Operation, name: str, types: Types) -> None:
        self._operation, self._name, self._types = operation, name, types
        names = unique(_of_parameter(each) for each in operation.parameters)
        self._parameters = list(zip(operation.parameters, names, strict=True))

    def lines(self, codes: Mapping[str, str]) -> Iterator[str]:
        operation = self._operation
        raises = f"Raises {', '.join(f'errors.{name}' for name in codes.values())}." if codes else ""
        deprecated = "Deprecated." * operation.deprecated
        text = "\n\n".join(filter(None, (operation.description, deprecated, fill(raises, _LINE_CHARS))))
        result, arguments = self._result(), list(self._arguments())
        yield ""
        yield from _head(f"async def {self._name}", arguments, result)
        yield from _indented(docstring(text))
        head = f"result: {result} = await self._send("
        is_long = len(head) > _LINE_CHARS
        yield from _indented([f"result: {result}", "result = await self._send("] if is_long else [head])
        yield from _indented([*_indented(self._sent()), ")", "return result"])
        if operation.page is not None:
            yield from self._iterator(operation.page, arguments)

    def _result(self) -> str:
        return " | ".join(dict.fromkeys(chain.from_iterable(map(self._results, self._operation.successes)))) or "None"

    def _results(self, success: Success) -> list[str]:
        if success.kind != "json":
            return [{"bytes": "bytes", "none": "None"}.get(success.kind, "str")]
        kinds = self._types.arms(success.type, "models.")
        return [f"runtime.Tagged[{' | '.join(kinds)}]"] if self._operation.tagged else kinds

    def _arguments(self) -> Iterator[str]:
        """The parameters of the method. Those behind the asterisk are given by name."""
        operation, body = self._operation, self._operation.body
        yield from (f"{name}: {self._type(each)}" for each, name in self._parameters if each.place == "path")
        if body is not None and body.kind == "file":
            yield "file: bytes"
        elif body is not None:
            kind = {"text": "str", "bytes": "bytes"}.get(body.kind) or self._types.expression(body.type, "models.")
            yield f"data: {kind}" if body.required else f"data: {kind} | None = None"
        named = [(each, name) for each, name in self._parameters if each.place != "path"]
        more = [
            *(f"{name}: {self._type(each)}" for each, name in named if each.required),
            *(["if_match: str | runtime.Tagged[Any]"] * operation.if_match),
            *(f"{name}: {_optional(self._type(each))}" for each, name in named if not each.required),
            *(["idempotency_key: str | None = None"] * operation.idempotent),
            *(['filename: str = "file"'] * (body is not None and body.kind == "file")),
        ]
        yield from ("*", *more) if more else ()

    def _type(self, parameter: Parameter) -> str:
        return self._types.expression(parameter.type, "models.")

    def _sent(self) -> Iterator[str]:
        """The arguments of the request."""
        operation = self._operation
        yield f"{literal(operation.method.upper())},"
        yield f"{self._path()},"
        yield from _table("returns", [(str(each.status), self._decoder(each)) for each in operation.successes])
        for place, argument in (("query", "query"), ("header", "headers")):
            pairs = [(literal(each.name), name) for each, name in self._parameters if each.place == place]
            if place == "header" and operation.body is not None and operation.body.kind in {"json", "text", "bytes"}:
                pairs.append(('"Content-Type"', literal(operation.body.media_type)))
            yield from _table(argument, pairs) if pairs else ()
        yield from self._sent_body()
        if operation.idempotent:
            yield "idempotency_key=idempotency_key or runtime.new_key(),"
        yield from ["if_match=if_match,"] * operation.if_match
        yield from ["authenticated=True,"] * operation.authenticated
        yield from ["signs_in=True,"] * operation.signs_in

    def _path(self) -> str:
        names = {each.name: name for each, name in self._parameters if each.place == "path"}
        parts = re.split(r"({[^{}]+})", self._operation.path)
        arguments = [names.get(part[1:-1]) if part.startswith("{") else None for part in parts]
        if not any(arguments):
            return literal(self._operation.path)
        texts = [part.replace("{", "{{").replace("}", "}}") for part in parts]
        written = [
            f"{{runtime.segment({name})}}" if name else text for text, name in zip(texts, arguments, strict=True)
        ]
        return f"f{literal(''.join(written))}"

    def _sent_body(self) -> Iterator[str]:
        body = self._operation.body
        match body.kind if body is not None else None:
            case "json":
                encoded = "msgspec.json.encode(data)"
            case "text":
                encoded = "data.encode()"
            case "bytes":
                encoded = "data"
            case "form":
                yield "form=data,"
                return
            case "file":
                yield from _table("files", [(literal((body and body.part) or ""), "(filename, file)")])
                return
            case _:
                return
        yield f"content={encoded}," if body and body.required else f"content=None if data is None else {encoded},"

    def _decoder(self, success: Success) -> str:
        if success.kind != "json":
            names = {"bytes": "content", "text": "text", "redirect": "location", "none": "nothing"}
            return f"runtime.{names[success.kind]}"
        arms = self._types.arms(success.type, "models.")
        decode = f"runtime.json_of({arms[0]})"
        if len(arms) > 1 or len(decode) > _LONG_CHARS:
            decode = "\n".join(["runtime.json_of(", *_indented(f"{arm}," for arm in arms), ")"])
        if not self._operation.tagged:
            return decode
        return f"runtime.tagged(\n{indent(decode, '    ')},\n)" if "\n" in decode else f"runtime.tagged({decode})"

    def _iterator(self, page: Page, arguments: list[str]) -> Iterator[str]:
        """The method that reads all pages."""
        item = " | ".join(self._types.arms(page.item, "models."))
        position = next(
            name for each, name in self._parameters if each.name == page.parameter and each.place == "query"
        )
        following = f"page.{identifier(page.next)}"
        passed = [each.partition(":")[0] for each in arguments if each != "*"]
        positional = {name for each, name in self._parameters if each.place == "path"}
        yield ""
        name = self._name.removeprefix("list_").strip("_") or "list"
        yield from _head(f"async def iterate_{name}", arguments, f"AsyncIterator[{item}]")
        call = [f"{name}," if name in positional else f"{name}={name}," for name in passed]
        number = any(each.name == page.parameter and each.type == Plain("integer") for each, _ in self._parameters)
        step = {
            "value": [f"{position} = {following}", f"if {position} is None:", "    return"],
            "path": [
                f"following = runtime.next_value({following}, {literal(page.parameter)})",
                "if following is None:",
                "    return",
                f"{position} = {'int(following)' if number else 'following'}",
            ],
            "more": [
                f"{position} = ({position} or 0) + len(page.{identifier(page.items)})",
                f"if not {following}:",
                "    return",
            ],
        }[page.form]
        yield from _indented(
            [
                f'"""Each item of {self._name}, which reads one page after the other."""',
                "while True:",
                f"    page = await self.{self._name}(",
                *_indented(_indented(call)),
                "    )",
                f"    for item in page.{identifier(page.items)}:",
                "        yield item",
                *_indented(step),
            ]
        )


def _of_parameter(parameter: Parameter) -> str:
    name = identifier(parameter.name)
    return f"{name}_" if name in _OWN_NAMES else name


def _optional(kind: str) -> str:
    return f"{kind} = None" if kind == "Any" or kind.endswith("| None") else f"{kind} | None = None"


def _head(name: str, arguments: list[str], result: str) -> list[str]:
    if not arguments and len(name) + len(result) <= _LINE_CHARS - 12:
        return [f"{name}(self) -> {result}:"]
    return [f"{name}(", *_indented(f"{each}," for each in ("self", *arguments)), f") -> {result}:"]


def _table(argument: str, pairs: list[tuple[str, str]]) -> list[str]:
    if not pairs:
        return [f"{argument}={{}},"]
    return [f"{argument}={{", *_indented(f"{name}: {value}," for name, value in pairs), "},"]


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (indent(line, "    ") for line in lines)
