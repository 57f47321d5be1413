"""``restwell generate``: code as a developer would write it, who changes it from then on."""

from __future__ import annotations  # a command imports what it needs when it runs, so that its help is quick

import re
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from restwell._cli.migrate import write_migrations
from restwell._cli.templates import fill
from restwell.errors import ConfigurationError

if TYPE_CHECKING:
    from restwell._cli.project_code import ProjectCode
    from restwell._cli.resource_fields import Field

commands: Final = typer.Typer(help="Write a resource, a job or a migration into a project.", no_args_is_help=True)
RESOURCE: Final = Path(__file__).with_name("_resource")
JOB: Final = Path(__file__).with_name("_job")


@commands.command()
def resource(
    name: Annotated[str, typer.Argument(help="What one is called, such as review.")],
    fields: Annotated[
        list[str] | None,
        typer.Argument(help="Such as body:text rating:int:1..5 status:enum:draft,published product:ref due:date?"),
    ] = None,
    *,
    plural: Annotated[str | None, typer.Option(help="The name of the table, such as people.")] = None,
) -> None:
    """Write a resource: table, schemas, queries, service, routes, migration and tests. ?: an optional field."""
    from restwell._cli.project_code import ProjectCode
    from restwell._cli.resource_fields import parse_fields, plural_of

    project = ProjectCode.load()
    plural = plural or plural_of(name)
    for each in (name, plural):
        _check_name(each, RESOURCE, "a resource is a noun in the singular, such as order_item")
    statement = f"from {project.package}.{plural}.routes import {plural}"
    project.check_free(plural, statement, path=f"{plural}.py", table=True)
    parsed = parse_fields(fields or [], project.tables())
    has_ref = any(field.kind == "ref" for field in parsed)
    chosen = {"accounts" if project.has_accounts else "open", "ref" if has_ref else "plain"}
    files = fill(RESOURCE, _names(name, plural, project) | _code(name, plural, parsed), chosen)
    project.add(files, statement, plural)


@commands.command()
def job(name: Annotated[str, typer.Argument(help="What it does, such as send_digest.")]) -> None:
    """Write a job and its test."""
    from restwell._cli.project_code import ProjectCode

    project = ProjectCode.load()
    _check_name(name, JOB, "a job is what it does, such as send_digest")
    statement = f"from {project.package} import {name}"
    project.check_free(name, statement, path=name)
    project.add(fill(JOB, {"package": project.package, "name": name}, ()), statement, f"{name}.feature")


@commands.command()
def migration(title: Annotated[str, typer.Argument(help="What it does, such as 'fill the slugs'.")]) -> None:
    """Write a migration with what the models have changed, or without a change an empty one."""
    write_migrations(title, may_be_empty=True)


def _check_name(name: str, templates: Path, example: str) -> None:
    from restwell._cli.resource_fields import NAME, camel

    if not NAME.fullmatch(name) or iskeyword(name):
        raise ConfigurationError([f"{name} is no name: {example}, in up to 25 lower-case letters, digits and _"])
    texts = (re.sub(r'"""[^"]*"""|\{\w+\}', "", file.read_text(encoding="utf-8")) for file in templates.rglob("*.txt"))
    used = {word for text in texts for word in re.findall(r"[A-Za-z]\w*", text)}
    if {name, camel(name)} & used:
        raise ConfigurationError([f"{name} is a name in the generated code itself; choose another, such as our_{name}"])


def _names(name: str, plural: str, project: ProjectCode) -> dict[str, str]:
    from restwell._cli.resource_fields import camel, quoted

    word, words = name.replace("_", " "), plural.replace("_", " ")
    article = "an" if name[0] in "aeiou" else "a"
    path = plural.replace("_", "-")
    number, before = project.migration(plural)
    return {
        "package": project.package,
        "name": name,
        "plural": plural,
        "Name": camel(name),
        "word": word,
        "words": words,
        "a_word": f"{article} {word}",
        "a_name": f"{article}_{name}",
        "Title": words.capitalize(),
        "path": path,
        "url": f"{project.prefix}/{path}",
        "number": number,
        "before": quoted(before) if before else "None",
        "client": "author" if project.has_accounts else "client",
        "key": f"user_id, {name}_id" if project.has_accounts else f"{name}_id",
    }


def _code(name: str, plural: str, fields: list[Field]) -> dict[str, str]:
    """The code that depends on the fields."""
    from restwell._cli.resource_fields import camel, quoted

    refs = [field for field in fields if field.kind == "ref"]
    ref = refs[0].name if refs else ""
    raises = "raises=[UnknownReference]" if refs else ""
    indexes = [(f"{plural}_by_{each.name.removesuffix('_id')}", each.name) for each in refs]
    targets = " or ".join(f"the {each.name.removesuffix('_id').replace('_', ' ')}" for each in refs)
    other = next(
        (f" | {{{quoted(each.name)}: {each.samples()[1]}}}" for each in fields if len(set(each.samples())) > 1), ""
    )
    helpers = sorted({f"from test_{each.table} import {each.helper}" for each in refs})
    return {
        "enums": "\n".join(each.alias(camel(name)) for each in fields if each.kind == "enum"),
        "columns": "\n".join(f"{each.column(plural)}," for each in fields),
        "indexes": "\n".join(f'Index("{index}", "{column}", "id"),' for index, column in indexes),
        "created_indexes": "\n    ".join(
            f'op.create_index("{index}", "{plural}", ["{column}", "id"])' for index, column in indexes
        ),
        "request_fields": "\n    ".join(each.requested(camel(name)) for each in fields),
        "fields": "\n    ".join(each.shown(camel(name)) for each in fields),
        "samples": "\n".join(f"{quoted(each.name)}: {each.samples()[0]}," for each in fields),
        "other": other,
        "test_imports": "\n".join(helpers),
        "ref": ref,
        "target": ref.removesuffix("_id"),
        "targets": f"{targets.capitalize()} does not exist.",
        "raises": raises,
        "and_raises": f", {raises}" if raises else "",
    }
