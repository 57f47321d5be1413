"""Many cases with one set of fixtures, for tests that change nothing."""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from itertools import zip_longest
from typing import Any, TypeVar

import pytest

Test = TypeVar("Test", bound=Callable[..., Awaitable[None]])


def each(
    names: str | tuple[str, ...], values: Iterable[Any], *, ids: Iterable[str | None] = ()
) -> Callable[[Test], Any]:
    """Like ``pytest.mark.parametrize``, but the cases are subtests that share their fixtures."""
    keys = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    cases = [_arguments(keys, value, label) for value, label in zip_longest(values, ids)]

    def decorate(test: Test) -> Any:
        async def run(subtests: pytest.Subtests, **fixtures: Any) -> None:
            for label, arguments in cases:
                with subtests.test(label):
                    await test(**fixtures, **arguments)

        signature = inspect.signature(test)
        remaining = [one for name, one in signature.parameters.items() if name not in keys]
        subtests = inspect.Parameter("subtests", inspect.Parameter.KEYWORD_ONLY)
        parameters = [*remaining, subtests]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # pytest reads it
        run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
        if marks := getattr(test, "pytestmark", None):
            run.pytestmark = marks  # type: ignore[attr-defined]  # and it
        return run

    return decorate


def _arguments(keys: list[str], value: Any, label: str | None) -> tuple[str, dict[str, Any]]:
    if isinstance(value, type(pytest.param())):
        label, value = str(value.id or ""), value.values
    elif len(keys) == 1:
        value = (value,)
    arguments = dict(zip(keys, value, strict=True))
    return label or ", ".join(f"{key}={one!r:.100}" for key, one in arguments.items()), arguments
