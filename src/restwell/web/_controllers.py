"""Controllers with services injected as attributes, and API versions."""

import inspect
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from litestar import Controller as LitestarController
from litestar import Router


class Controller(LitestarController):
    """The handlers of one resource below ``path``.

    An annotated attribute without a value, such as ``products: ProductService``, is set to the service of that type
    when the application is built. Injection costs nothing per request.
    """


class Version(NamedTuple):
    """A version of the API: its prefix, such as ``/v1``, and its controllers."""

    prefix: str
    controllers: Sequence[type[Controller]]

    def router(self, services: Sequence[object]) -> Router:
        """Build the routes. Raises TypeError for a controller whose service is not in ``services``."""
        return Router(self.prefix, route_handlers=[_inject_services(each, services) for each in self.controllers])


def _inject_services(controller: type[Controller], services: Sequence[object]) -> type[Controller]:
    """Return a subclass with its services: applications in one process never share a service."""
    injected = {}
    for name, kind in _service_attributes(controller):
        service = next((each for each in services if isinstance(each, kind)), None)
        if service is None:
            raise TypeError(f"{controller.__name__}.{name} needs a {kind.__name__}; add it to provide=[...]")
        injected[name] = service
    return type(controller.__name__, (controller,), injected)


def _service_attributes(controller: type[Controller]) -> Iterator[tuple[str, type]]:
    for base in controller.__mro__:
        if issubclass(base, Controller):
            for name, kind in inspect.get_annotations(base, eval_str=True).items():
                if not hasattr(controller, name):
                    yield name, kind
