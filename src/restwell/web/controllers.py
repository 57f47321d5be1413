"""Controllers: the handlers of one resource, with the services they need as attributes; and the versions that list them."""

import inspect
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from litestar import Controller as LitestarController
from litestar import Router


class Controller(LitestarController):
    """The handlers of one resource below ``path``.

    An annotated attribute without a value, such as ``products: ProductService``, is set once, when the application is
    built, to the service of that type. So a request pays nothing for it, and a test sees what a handler depends on.
    """


class Version(NamedTuple):
    """One version of the API: a prefix, such as ``/v1``, and its controllers."""

    prefix: str
    controllers: Sequence[type[Controller]]

    def router(self, services: Sequence[object]) -> Router:
        """Its routes, each controller with its services. Raises TypeError naming a service that is not among them."""
        return Router(self.prefix, route_handlers=[_with_services(one, services) for one in self.controllers])


def _with_services(controller: type[Controller], services: Sequence[object]) -> type[Controller]:
    """A subclass, so that two applications in one process never share a service."""
    given = {}
    for name, kind in _wanted(controller):
        service = next((one for one in services if isinstance(one, kind)), None)
        if service is None:
            raise TypeError(f"{controller.__name__}.{name} needs a {kind.__name__}; add it to provide=[...]")
        given[name] = service
    return type(controller.__name__, (controller,), given)


def _wanted(controller: type[Controller]) -> Iterator[tuple[str, type]]:
    for one in controller.__mro__:
        if issubclass(one, Controller):
            for name, kind in inspect.get_annotations(one, eval_str=True).items():
                if not hasattr(controller, name):
                    yield name, kind
