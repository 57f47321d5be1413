"""Converts a folder of Alembic to migrations of the kit. ``Migrations`` records which of them Alembic has run."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

from alembic.script import Script, ScriptDirectory

from restwell.database._migration_files import next_number
from restwell.database._migration_writer import file_name, plain_words
from restwell.database._schema_code import quoted
from restwell.errors import ConfigurationError


def convert(source: Path, target: Path) -> list[Path]:
    """Write the revisions of the folder ``source`` into ``target/versions``, in their order. Returns the files.

    Each has its id of Alembic, by which a database is recognized. In a history with branches only the last one has it:
    a database must be at the head. Raises ConfigurationError for a folder that Alembic cannot read, for one without
    revisions, and for several heads.
    """
    scripts = _read(source)
    has_branches = any(script.is_branch_point or script.is_merge_point for script in scripts)
    texts: dict[Path, str] = {}
    before: str | None = None
    for script in scripts:
        number = next_number([before] if before else [])
        is_known = script is scripts[-1] or not has_branches
        title = plain_words(script.doc.partition("\n")[0])
        name = file_name(title) if re.search(r"\w", title, re.ASCII) else "migration"
        assignments = {
            "revision": f"revision = {quoted(number)}\n",
            "down_revision": f"down_revision = {quoted(before) if before else None}\n"
            + (f"alembic_revision = {quoted(script.revision)}\n" if is_known else ""),
        }
        texts[target / "versions" / f"{number}_{name}.py"] = _converted(Path(script.path), title or name, assignments)
        before = number
    (target / "versions").mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)


def _read(folder: Path) -> list[Script]:
    """The revisions, each after those that it follows."""
    try:
        directory = ScriptDirectory(folder)
        heads = directory.get_heads()
        scripts = list(directory.walk_revisions())
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigurationError([f"{folder} cannot be read as a folder of Alembic: {reason}"]) from error
    if not heads:
        raise ConfigurationError([f"{folder} is no folder of Alembic with revisions: name the one that has versions"])
    if len(heads) > 1:
        raise ConfigurationError([f"{folder} has {len(heads)} heads, {', '.join(heads)}: run alembic merge heads"])
    return scripts[::-1]


def _converted(file: Path, title: str, assignments: Mapping[str, str]) -> str:
    """The text with another docstring and other assignments."""
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    body = ast.parse(text).body
    found = {_assigned(node): node for node in body}
    if not assignments.keys() <= found.keys():
        raise ConfigurationError([f"{file}: assign revision and down_revision in a statement each"])
    replaced = {found[name]: line for name, line in assignments.items()}
    head = f'"""{title[0].upper()}{title[1:]} (pre-deploy)."""\n'
    if isinstance(body[0], ast.Expr):  # the docstring
        replaced[body[0]] = head
        head = ""
    for node in sorted(replaced, key=lambda node: node.lineno, reverse=True):
        lines[node.lineno - 1 : node.end_lineno] = [replaced[node]]
    return head + "".join(lines)


def _assigned(node: ast.stmt) -> str:
    """The name of the variable that the statement assigns, or ``""``."""
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return target.id if isinstance(target, ast.Name) else ""
