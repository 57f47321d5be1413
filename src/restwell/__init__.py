"""restwell: the production layer for Python REST APIs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from restwell._app import Restwell
    from restwell._application import App
    from restwell._project import Project

__all__ = ["App", "Project", "Restwell"]

_MODULES = {"App": "_application", "Project": "_project", "Restwell": "_app"}


def __getattr__(name: str) -> Any:
    """Import lazily, so that the command sets its signal handlers first (``__main__.py``)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
