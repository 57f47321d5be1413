"""``restwell settings``: every setting with its value, its source and its meaning. Secrets are redacted."""

from __future__ import annotations  # a command imports what it needs when it runs, so that its help is quick

import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer
from msgspec import Struct
from rich.table import Table

from restwell._cli.loading import load
from restwell._cli.setting_meanings import MEANINGS
from restwell._cli.tables import print_table

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from restwell.settings import Settings

REDACTED: Final = "***"
_url: Final = re.compile(
    r"(?P<name>[\w-]+=)?(?P<scheme>[a-z0-9+]+)://(?P<user>[^@/?#\s]*@)?(?P<host>[\w.:\[\],-]*)(?P<path>/[^?#@]*)?(\?[^@]*)?"
).fullmatch


class Setting(Struct, frozen=True):
    """``value`` is None if it is unset. ``source``: default, secret file, .env file or environment."""

    name: str
    value: str | None
    source: str
    meaning: str


def settings(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List every setting with its value, its source and its meaning. Secrets are redacted."""
    from restwell._project import setting_sources

    project, loaded = load()
    sources = setting_sources(project)
    places = {name: source.place for source in sources for name in source.values}
    texts = {name: text for source in sources for name, text in source.values.items()}
    found = [
        Setting(
            name,
            shown(value) if name not in places else redacted(name, texts[name]) if _is_secret(value) else texts[name],
            places.get(name, "default"),
            field.description or MEANINGS.get(name, ""),
        )
        for name, value, field in values_of(loaded)
    ]
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
        return
    table = Table("setting", "value", "source", "meaning", box=None)
    for each in found:
        table.add_row(each.name, each.value if each.value is not None else "-", each.source, each.meaning)
    print_table(table)


def redacted(name: str, text: str) -> str:
    """A secret as it may be printed: of a URL, or of several, its scheme and host; otherwise nothing."""
    if not name.endswith(("URL", "URLS", "PROVIDERS")):
        return REDACTED
    found = [_url(each) for each in re.split(r"[,\s]+(?=[\w-]+=?[\w+]*://)", text)]
    return ",".join(_without_credentials(each) if each is not None else REDACTED for each in found)


def _without_credentials(url: re.Match[str]) -> str:
    user = f"{REDACTED}@" if url["user"] else ""
    path = (url["path"] or "") if not url["host"] else ""  # a path may be the secret of a web hook; a file is none
    return f"{url['name'] or ''}{url['scheme']}://{user}{url['host']}{path}"


def values_of(loaded: Settings) -> Iterator[tuple[str, Any, FieldInfo]]:
    from restwell.settings import Section

    for name, field in type(loaded).model_fields.items():
        value = getattr(loaded, name)
        if isinstance(value, Section):
            for inner, one in type(value).model_fields.items():
                yield f"{name}_{one.validation_alias or inner}".upper(), getattr(value, inner), one
        else:
            yield name.upper(), value, field


def _is_secret(value: object) -> bool:
    from pydantic import SecretStr

    return isinstance(value, SecretStr) or (isinstance(value, tuple) and any(map(_is_secret, value)))


def shown(value: Any) -> str | None:
    """A default: it is no secret."""
    from pydantic import SecretStr

    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, tuple):
        value = "/".join(map(str, value))
    return None if value in {None, ""} else str(value)
