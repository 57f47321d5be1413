"""The settings, without secrets."""

import re
from collections.abc import Iterator
from typing import Any, Final, get_args

from msgspec import Struct
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from restwell.ops._layout import Layout
from restwell.ops._page import ROOT, OpsPage, page
from restwell.settings import Settings
from restwell.web import Controller, Request, Response

REDACTED: Final = "••••••"
_sounds_secret: Final = re.compile(r"secret|password|passwd|token|key|credential|dsn", re.IGNORECASE).search
_userinfo: Final = re.compile(r"(?<=://)[^/@\s]*@")


class Setting(Struct, frozen=True):
    """``name``: the environment variable. ``is_set``: whether the value differs from the default."""

    section: str
    name: str
    value: str
    is_secret: bool
    is_set: bool


class SettingsController(Controller):
    path = f"{ROOT}/settings"

    @page()
    async def settings(self, request: Request, layout: Layout, settings: Settings) -> Response[bytes]:
        return layout.page(
            request, "settings.html", settings=list(read_settings(settings)), fallbacks=settings.fallbacks()
        )


def read_settings(settings: BaseModel, section: str = "") -> Iterator[Setting]:
    """Each setting. Secrets, and what sounds like one, have no value; URLs have no user and password."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from read_settings(value, name)
            continue
        variable = "_".join(filter(None, (section, str(field.validation_alias or name)))).upper()
        is_secret = _is_secret(field, value) or bool(_sounds_secret(variable) and isinstance(value, str))
        text = "/".join(map(str, value)) if section == "rate_limit" and isinstance(value, tuple) else _text(value)
        shown = (REDACTED if value else "") if is_secret else text
        is_set = value != field.get_default(call_default_factory=True)
        yield Setting(section or "server", variable, shown, is_secret, is_set)


def _is_secret(field: FieldInfo, value: object) -> bool:
    return SecretStr in _kinds(field.annotation) or isinstance(value, SecretStr)


def _kinds(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from _kinds(inner)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple | list | set | frozenset):
        return ", ".join(map(_text, value))
    return _userinfo.sub("", str(value))


PAGE: Final = OpsPage("Settings", SettingsController)
