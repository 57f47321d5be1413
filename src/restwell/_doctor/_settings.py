"""Settings that are misspelt, weak, or wrong in production, and files with secrets that others may read."""

import os
import stat
from collections.abc import AsyncIterator
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from restwell._doctor._finding import Finding, Subject
from restwell._project import APP_VARIABLE
from restwell._settings_files import ENV_FILE
from restwell._settings_values import SECRET_MIN_BYTES, is_weak_secret

SIMILARITY: Final = 0.88
"""A name that is this similar to the name of a setting is taken for a misspelling of it."""


async def check_names(subject: Subject) -> AsyncIterator[Finding]:
    known = {"_".join(path).upper() for path in subject.settings.paths()} | {"SECRETS_DIR", APP_VARIABLE}
    for name in sorted(subject.values.keys() - known):
        if meant := get_close_matches(name.upper(), known, 1, SIMILARITY):
            yield Finding("warning", name, f"no setting has this name, so it has no effect. Rename it to {meant[0]}.")


async def check_secrets(subject: Subject) -> AsyncIterator[Finding]:
    jwt = subject.settings.jwt
    named = [("JWT_SECRET", jwt.secret), *(("JWT_PREVIOUS_SECRETS", each) for each in jwt.previous_secrets)]
    for name, secret in named:
        if secret is not None and is_weak_secret(secret.get_secret_value()):
            yield Finding(
                "warning",
                name,
                f"too weak: it can be guessed. Set at least {SECRET_MIN_BYTES} random bytes:"
                " python -c 'import secrets; print(secrets.token_urlsafe(48))'",
            )
    folder = os.environ.get("SECRETS_DIR")
    if folder is not None and not _is_folder(folder):
        yield Finding("warning", "SECRETS_DIR", f"there is no folder {folder}, so no secret is read. Correct the path.")
    files = [*jwt.key_files, *([ENV_FILE] if any("SECRET" in name for name in subject.values) else [])]
    for file in files:
        if _others_may_read(file):
            yield Finding(
                "warning", str(file), f"every user of this machine may read its secrets. Run chmod 600 {file}."
            )


def _is_folder(name: str) -> bool:
    return Path(name).is_dir()


def _others_may_read(file: Path) -> bool:
    return file.exists() and bool(file.stat().st_mode & stat.S_IROTH)


async def check_production(subject: Subject) -> AsyncIterator[Finding]:
    settings = subject.settings
    if not settings.in_production:
        return
    if settings.public_url.startswith("http://"):
        yield Finding(
            "warning", "APP_URL", "links in mails lead to localhost. Set the public URL: https://shop.example.com."
        )
    if settings.log.level == "debug":
        yield Finding("hint", "LOG_LEVEL", "debug logs every step of each request. Set it to info.")
    if not settings.rate_limit.scale:
        yield Finding("warning", "RATE_LIMIT_SCALE", "0 disables all rate limits, also those of sign-in. Set it to 1.")
    for service, fallback in settings.fallbacks().items():
        yield Finding("hint", service, f"{fallback}. Name the real service in its setting.")
