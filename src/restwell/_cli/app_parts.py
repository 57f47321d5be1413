"""Adds a part to the code of an application: ``parts = [notes]``, or ``Version("/v1", [notes])``."""

import ast
from collections.abc import Iterator

from restwell.errors import ConfigurationError


def names_in(code: str) -> set[str]:
    """The names that the code reads or assigns, without those of imports."""
    nodes = list(ast.walk(ast.parse(code)))
    return {node.id for node in nodes if isinstance(node, ast.Name)} | {
        node.arg for node in nodes if isinstance(node, ast.arg)
    }


def imports(code: str, statement: str) -> bool:
    """Whether the code has the import ``from module import name``."""
    return _imported(statement) <= _imported(code)


def with_part(code: str, statement: str, part: str) -> str:
    """The code with the import, and with the part at the end of its list. Raises ConfigurationError without a list."""
    tree = ast.parse(code)
    lists = list(_lists_of_parts(tree))
    if len(lists) != 1:
        raise ConfigurationError(
            [f'{part} has no list to which it is added: write parts = [...] and Version("/v1", parts) in create_app']
        )
    *_, last_import = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    elements = lists[0].elts
    at = _offset(code, elements[-1]) if elements else _offset(code, lists[0]) - 1
    code = f"{code[:at]}{', ' if elements else ''}{part}{code[at:]}"
    at = _offset(code, last_import)
    return f"{code[:at]}\n{statement}{code[at:]}"


def _imported(code: str) -> set[tuple[str | None, str]]:
    froms = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    return {(node.module, alias.name) for node in froms for alias in node.names}


def _lists_of_parts(tree: ast.Module) -> Iterator[ast.List]:
    for node in ast.walk(tree):
        found: ast.expr | None = None
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found = node.value if list(map(ast.unparse, targets)) == ["parts"] else None
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Version" and len(node.args) > 1:
            found = node.args[1]
        if isinstance(found, ast.List):
            yield found


def _offset(code: str, node: ast.stmt | ast.expr) -> int:
    """Where the node ends. Its column counts bytes."""
    lines = code.splitlines(keepends=True)
    line = lines[(node.end_lineno or 1) - 1].encode()
    before = sum(map(len, lines[: (node.end_lineno or 1) - 1]))
    return before + len(line[: node.end_col_offset].decode())
