"""Services are built once each, from the types of their parameters."""

from collections.abc import Sequence
from typing import Any, Protocol

import pytest

from restwell._services import Services, type_name


class Clock: ...


class Mailer:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock


class LoudMailer(Mailer): ...


class Orders:
    def __init__(self, mailer: Mailer, limit: int = 3, *more: int, **others: int) -> None:
        self.mailer = mailer
        self.rest = limit, more, others


class Outbox:
    def __init__(self, mailers: Sequence[Mailer]) -> None:
        self.mailers = mailers


class Chicken:
    def __init__(self, egg: "Egg") -> None: ...


class Egg:
    def __init__(self, chicken: Chicken) -> None: ...


class Sends(Protocol):
    def send(self) -> None: ...


class Untyped:
    def __init__(self, mailer) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001  # on purpose


CLOCK = Clock()


def services(*entries: object, **parts: object) -> Services:
    return Services(entries, {name: lambda part=part: part for name, part in parts.items()})  # type: ignore[misc]


def make_mailer(clock: Clock) -> Mailer:
    return LoudMailer(clock)


def without_type(clock: Clock):  # type: ignore[no-untyped-def]  # noqa: ANN201  # on purpose
    return clock


def test_a_service_is_built_once_from_other_services_in_any_order() -> None:
    found = services(Orders, Mailer, CLOCK)
    orders = found.find(Orders)
    assert isinstance(orders, Orders)
    assert orders.mailer is found.find(Mailer)
    assert (orders.mailer.clock, orders.rest) == (CLOCK, (3, (), {}))
    assert found.find(Orders) is orders
    assert found.find(Chicken) is None


def test_a_function_is_a_service_of_its_return_type() -> None:
    found = services(make_mailer, CLOCK)
    assert isinstance(found.find(Mailer), LoudMailer)
    assert found.find(LoudMailer) is None, "it is found by the type that it declares"


def test_a_subclass_is_a_service_and_the_first_one_is_found() -> None:
    quiet, loud = Mailer(CLOCK), LoudMailer(CLOCK)
    assert services(loud, quiet).find(Mailer) is loud
    assert services(quiet, loud).find(Mailer) is quiet
    assert services(quiet, loud).find(LoudMailer) is loud
    assert services(quiet).find(Sends) is None, "a protocol is no type of a service"


def test_every_service_is_built_and_a_sequence_has_each_once() -> None:
    """Breaks when they are found by their types: of two services of a type, the first would be there twice."""
    quiet, loud, other = Mailer(CLOCK), LoudMailer(CLOCK), Mailer(CLOCK)
    found = services(loud, quiet, Outbox, other)
    built = found.build_all()
    assert (built[0], built[1], built[3]) == (loud, quiet, other)
    outbox = built[2]
    assert isinstance(outbox, Outbox)
    assert outbox.mailers == [loud, quiet, other]


def test_a_part_of_the_kit_is_found_by_exactly_its_type() -> None:
    """The parts are optional: they are not imported to be compared."""
    found = services(LoudMailer, **{type_name(Clock): CLOCK})
    assert found.find(Clock) is CLOCK
    assert found.build(Orders).mailer.clock is CLOCK
    assert found.find("Clock") is None


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([Orders], r"^Orders needs mailer: Mailer, which is no service; add it to the services of a Feature$"),
        ([Orders, Mailer], r"^Mailer needs clock: Clock, which is no service"),
        ([Chicken, Egg], r"^services need each other: Chicken needs Egg needs Chicken; move"),
        ([Untyped], r"^Untyped has the parameter mailer without a type; annotate it$"),
        ([without_type], r"^without_type has no return type; annotate it with the type of its service$"),
    ],
)
def test_a_service_that_cannot_be_built_is_named(entries: list[Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        services(*entries).build_all()
