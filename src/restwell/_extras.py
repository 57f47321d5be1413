"""Optional dependencies. A missing one is a configuration error that names the extra to install."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from restwell.errors import ConfigurationError


@contextmanager
def needs_extra(name: str, needed_by: str) -> Iterator[None]:
    """Import libraries of the extra ``name`` in this block. Raises ConfigurationError if one is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigurationError([f"{needed_by}: {_advice(str(error.name), name)}"]) from error


def check_installed(library: str, extra_name: str) -> None:
    """Raises ValueError if the library is not installed. Does not import it."""
    if find_spec(library) is None:
        raise ValueError(_advice(library, extra_name))


def _advice(library: str, extra_name: str) -> str:
    return f"{library} is not installed: pip install 'restwell[{extra_name}]'"
