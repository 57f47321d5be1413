"""Reads the files that settings may be in: ``.env``, and files that are named after a setting."""

import os
from collections.abc import Collection, Mapping
from io import StringIO
from pathlib import Path
from typing import Final, NamedTuple

from dotenv import dotenv_values
from dotenv.parser import parse_stream


class Source(NamedTuple):
    """The values that settings have in one place. Empty values count as unset."""

    place: str
    values: Mapping[str, str]


ENV_FILE: Final = Path(".env")


def secrets_dir() -> Path:
    return Path(os.environ.get("SECRETS_DIR", "/run/secrets"))


def read_sources(
    env: Mapping[str, str], env_file: Path | None, secrets_dir: Path | None, names: Collection[str]
) -> tuple[list[Source], list[str]]:
    """Secret files, then ``env_file``, then the environment: each overrides those before it. And their errors."""
    secrets, secret_errors = secret_files(secrets_dir, names)
    values, errors = read_env_file(env_file)
    environment = {name: value for name, value in env.items() if value}
    sources = [Source("secret file", secrets), Source(".env file", values), Source("environment", environment)]
    return sources, [*errors, *secret_errors]


def read_env_file(path: Path | None) -> tuple[dict[str, str], list[str]]:
    """The values of a file like ``.env``, and its errors."""
    if path is None:
        return {}, []
    text, fault = _read_text(path)
    if fault is not None:
        return {}, [fault]
    lines = [binding.original.line for binding in parse_stream(StringIO(text)) if binding.error]
    if lines:
        return {}, [f"{path}, line {line}: write NAME=value, or # before a comment" for line in lines]
    found = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: value for name, value in found.items() if value}, []


def secret_files(folder: Path | None, names: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """The values of files named after a setting, and their errors. Other files are ignored."""
    if folder is None or not folder.is_dir():
        return {}, []
    try:
        files = sorted(file for file in folder.iterdir() if file.name.upper() in names)
    except OSError as error:
        return {}, [f"{folder}: cannot be read: {error.strerror}; set SECRETS_DIR to another folder"]
    values, faults = {}, []
    for file in files:
        text, fault = _read_text(file)
        if fault is not None:
            faults.append(fault)
        elif text.strip():
            values[file.name.upper()] = text.strip()
    return values, faults


def _read_text(file: Path) -> tuple[str, str | None]:
    """The text of the file, empty if it does not exist, and the error if it is unreadable."""
    try:
        return file.read_text(encoding="utf-8-sig"), None
    except FileNotFoundError:
        return "", None
    except OSError as error:
        return "", f"{file}: cannot be read: {error.strerror}; it must be a file that the user of this process can read"
    except UnicodeDecodeError as error:
        return "", f"{file}: is not UTF-8 (byte {error.start}); save it as UTF-8"
