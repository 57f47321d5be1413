"""How an application declares the fields of its schema."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar, cast, overload

from msgspec import Struct

from restwell.web._declarations import Guard, Handler

R = TypeVar("R", bound=Callable[..., Awaitable[Any]])

_MARK: Final = "__restwell_relation__"


class Limits(Struct, frozen=True, kw_only=True):
    """What one document may ask for, and how many subscriptions may be open. They are checked before it runs.

    ``depth``: nested fields. ``aliases``: also fields that one selection has twice. ``cost``: objects of the response,
    at most; a list counts as its ``first``, or as its maximum length. ``tokens``: names, numbers and punctuators.
    ``cost_per_request``: a field of Query or Mutation counts as one request of its rate limit, and as another one for
    each further ``cost_per_request``. ``subscriptions``: of a worker process. ``subscriptions_per_client``: in a worker
    process, of a user, or of a network without a user.
    """

    depth: int = 10
    aliases: int = 20
    cost: int = 2_000
    tokens: int = 500
    cost_per_request: int = 100
    subscriptions: int = 1_000
    subscriptions_per_client: int = 20


class Field(Struct, frozen=True, kw_only=True):
    """A field of Query, Mutation or Subscription that differs from its route.

    ``handler``: as in GraphQL. ``returns``: the type of the result, if that of the handler is a union. ``omit``: query
    parameters that are no arguments.
    """

    handler: Handler | str
    returns: Any = None
    omit: Sequence[str] = ()


class Relation(Struct, frozen=True):
    """The arguments of ``relation``."""

    guards: tuple[Guard, ...]
    query_budget: Mapping[str, int]


@overload
def relation(resolve: R, /) -> R: ...
@overload
def relation(*, guards: Sequence[Guard] = (), query_budget: Mapping[str, int] | None = None) -> Callable[[R], R]: ...
def relation(
    resolve: R | None = None, /, *, guards: Sequence[Guard] = (), query_budget: Mapping[str, int] | None = None
) -> R | Callable[[R], R]:
    """Declare a field that an object has in GraphQL in addition to those of its Struct.

    Its name is that of the function; its first parameter is the object. The others are ``actor: Actor``, ``filters``
    (a Struct of arguments) and services by type. If the result may be None, NotFound means None. Reads by key with
    ``batch_on`` of all objects of a list are one statement. ``guards`` run before anything of the document does;
    ``query_budget`` as for a route.
    """

    def declare(function: R) -> R:
        if not inspect.iscoroutinefunction(cast("object", function)):
            raise TypeError(f"{getattr(function, '__qualname__', function)} is not async: use async def")
        vars(function)[_MARK] = Relation(tuple(guards), query_budget or {})
        return function

    return declare if resolve is None else declare(resolve)


def relation_of(resolve: Callable[..., Any]) -> Relation:
    """The declaration of a relation. Raises TypeError for another function."""
    declared: Relation | None = getattr(resolve, _MARK, None)
    if declared is None:
        raise TypeError(f"{getattr(resolve, '__qualname__', resolve)} is no relation: add @relation")
    return declared
