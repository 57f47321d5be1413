"""The TypeScript client has what its document says, and nothing of a document becomes code.

`make clients` compiles and runs clients: see shop/tests/clients.
"""

from pathlib import Path
from typing import Any

import pytest

from restwell._client._folder import MARK
from restwell._client._reader import read_api
from restwell._client._typescript import typescript_client
from restwell.errors import ConfigurationError
from servers import ROOT

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
BOOKS = "#/components/schemas/"


def response(schema: Json | None = None, media_type: str = "application/json") -> Json:
    return {"description": "", **({"content": {media_type: {"schema": schema}}} if schema is not None else {})}


def operation(name: str = "do_it", *responses: Json, **more: Any) -> Json:
    found = responses or (response(),)
    return {"operationId": name, "responses": {str(200 + index): each for index, each in enumerate(found)}, **more}


def written(paths: Json, schemas: Json | None = None, title: str = "Books") -> tuple[str, str]:
    """The API and the types of the client."""
    document = {"openapi": "3.1.0", "info": {"title": title}, "paths": paths, "components": {"schemas": schemas or {}}}
    files = typescript_client(read_api(document))
    return files["api.ts"], files["types.ts"]


def problem(*codes: str) -> Json:
    examples = {code: {"summary": f"About {code}."} for code in codes}
    schema = {"type": "object", "properties": {"code": {"enum": list(codes)}}}
    return {"description": "", "content": {"application/problem+json": {"schema": schema, "examples": examples}}}


def test_types_are_those_of_the_schemas() -> None:
    schemas = {
        "Book": {
            "type": "object",
            "description": "A ``book``.",
            "properties": {
                "id": {"type": "integer", "description": "Unique."},
                "kind": {"$ref": f"{BOOKS}Kind"},
                "tags": {"type": "array", "items": {"anyOf": [TEXT, {"type": "null"}]}},
                "size": {"enum": [1, 2]},
                "type": {"const": "book"},
                "pages-read": {"type": "object", "additionalProperties": {"type": "number"}, "deprecated": True},
                "place": {"type": "array", "prefixItems": [TEXT, {}]},
            },
            "required": ["id", "kind", "type"],
        },
        "Kind": {"enum": ["novel", "poem"]},
        "Order": {"enum": ["title", "-title"]},
    }
    query = {"name": "order", "in": "query", "schema": {"$ref": f"{BOOKS}Order"}}
    of_books = operation("list_books", response({"type": "array", "items": {"$ref": f"{BOOKS}Book"}}))
    api, types = written({"/books": {"get": {**of_books, "parameters": [query]}}}, schemas)
    assert types.splitlines()[1:] == [
        "/** A `book`. */",
        "export interface Book {",
        "  /** Unique. */",
        "  id: number;",
        "  kind: Kind;",
        "  tags?: (string | null)[] | undefined;",
        "  size?: 1 | 2 | (number & {}) | undefined;",
        '  type: "book";',
        "  /** @deprecated */",
        '  "pages-read"?: { [key: string]: number } | undefined;',
        "  place?: [string, unknown] | undefined;",
        "}",
        "",
        'export type Kind = "novel" | "poem" | (string & {});',
        "",
        'export type Order = "title" | "-title";',
    ]
    assert "listBooks(query: ListBooksQuery = {}, options: CallOptions = {}): Promise<types.Book[]>" in api


def test_a_method_sends_what_its_operation_takes() -> None:
    parameters = [
        {"name": "book_id", "in": "path", "required": True, "schema": {"type": "integer"}},
        {"name": "If-Match", "in": "header", "required": True, "schema": TEXT},
        {"name": "X-Note", "in": "header", "schema": TEXT},
    ]
    body = {"required": True, "content": {"application/merge-patch+json": {"schema": {"type": "object"}}}}
    patch = operation("change_book", response(TEXT, "text/csv"), parameters=parameters, requestBody=body)
    upload = {"schema": {"type": "object", "properties": {"file": TEXT}}}
    post = operation(
        "add_cover",
        response({}, "image/webp"),
        parameters=[{"name": "Idempotency-Key", "in": "header", "schema": TEXT}],
        requestBody={"required": True, "content": {"multipart/form-data": upload}},
        security=[{"access_token": []}],
    )
    api, _ = written({"/books/{book_id}": {"patch": patch}, "/covers": {"post": post}})
    assert (
        "  changeBook(bookId: number, body: { [key: string]: unknown },"
        " options: ChangeOptions & { xNote?: string | undefined; }): Promise<string> {\n"
        '    return this.call({ method: "PATCH", path: path`/books/${bookId}`, body,'
        ' sends: "application/merge-patch+json",'
        ' headers: { "If-Match": etagOf(options.ifMatch), "X-Note": options.xNote },'
        ' receives: "text", open: true }, options);\n'
    ) in api
    assert (
        "  addCover(file: Blob, options: KeyedOptions = {}): Promise<Blob> {\n"
        '    return this.call({ method: "POST", path: path`/covers`, body: { file }, sends: "multipart/form-data",'
        ' headers: { "Idempotency-Key": options.idempotencyKey ?? newKey() }, receives: "bytes" }, options);\n'
    ) in api


def test_each_code_has_a_class_and_each_name_is_used_once() -> None:
    errors = {"409": problem("api", "taken", "internal_error", "constructor")}
    paths = {
        "/a/{body}": {
            "get": {
                **operation("call"),
                "parameters": [{"name": "body", "in": "path", "required": True, "schema": TEXT}],
            },
            "post": operation("get_it", response(TEXT), response(TEXT)),
        },
        "/b": {"get": operation("getIt"), "post": {**operation("2go"), "responses": {"204": response(), **errors}}},
        "/c": {"get": {**operation("go"), "responses": {"303": response()}}},
    }
    api, _ = written(paths)
    assert (
        "/**\n * About taken.\n *\n * The code `taken`, with status 409.\n */\nexport class TakenError extends" in api
    )
    for line in (
        "    api: ApiError_,",
        "    internal_error: InternalError,",
        "  call_(body_: string, options: CallOptions = {}): Promise<void> {",
        "  getIt(options: CallOptions = {}): Promise<string> {",
        "  getIt_(options: CallOptions = {}): Promise<void> {",
        "  n2go(options: CallOptions = {}): Promise<void> {",
    ):
        assert f"\n{line}\n" in api
    assert " go(" not in api


def test_no_text_of_a_document_becomes_code() -> None:
    """Seen to fail: a comment was ended, and a path had a template."""
    evil = "*/ evil() /*"
    described = {
        **operation("do_it", summary=evil, deprecated=True),
        "responses": {"200": response(), "400": problem(evil)},
    }
    paths = {"/`${evil()}\\": {"get": described}}
    api, types = written(paths, {"A": {"type": "object", "properties": {evil: {**TEXT, "description": evil}}}}, evil)
    assert r"path`/\`\${evil()}\\`" in api
    assert api.count(evil) == 1  # the code, as a string
    assert f'    "{evil}": EvilError,\n' in api
    assert types.count(evil) == 1
    assert "   * *\\/ evil() /*\n   * @deprecated\n" in api


def test_a_name_that_is_none_in_typescript_is_changed_everywhere() -> None:
    refers = response({"$ref": f"{BOOKS}Page[Book]"})
    api, types = written({"/a": {"get": operation("it", refers)}}, {"Page[Book]": TEXT})
    assert "export type Page_Book_ = string;" in types
    assert "Promise<types.Page_Book_>" in api


def test_a_body_that_may_be_missing_is_undefined_and_bodies_of_several_kinds_are_refused() -> None:
    api, _ = written({"/a": {"get": operation("it", response(TEXT), response())}})
    assert "Promise<string | undefined>" in api
    assert 'receives: "json", mayBeEmpty: true' in api
    with pytest.raises(ConfigurationError, match=r"GET /a: bodies of several kinds, json and text"):
        written({"/a": {"get": operation("it", response(TEXT), response(TEXT, "text/csv"))}})


def test_the_runtime_is_a_file_of_the_kit_and_the_result_is_always_the_same() -> None:
    document = {"openapi": "3.1.0", "paths": {"/a": {"get": operation()}}}
    files = typescript_client(read_api(document))
    runtime = (ROOT / "src/restwell/_client/runtime.ts").read_text(encoding="utf-8")
    assert files["runtime.ts"] == f"// {MARK}\n{runtime}"
    assert files == typescript_client(read_api(document))
    assert {Path(name).suffix for name in files} == {".ts"}
