"""Services are injected into controllers by type when the application is built."""

import pytest

from restwell.web import Controller, Version
from restwell.web import _controllers as controllers


class Mailer:
    pass


class LoudMailer(Mailer):
    pass


class Base(Controller):
    path = "/base"
    mailer: Mailer


class Letters(Base):
    path = "/letters"
    tags = ["Letters"]
    limit: int = 3


def made_of(*services: object) -> type[Controller]:
    """The subclass of Letters with its services."""
    return controllers._inject_services(Letters, services)


def test_each_application_has_services_of_its_own() -> None:
    one, two = LoudMailer(), Mailer()
    first, second = made_of(one, "something else"), made_of("something else", two)
    assert vars(first)["mailer"] is one
    assert vars(second)["mailer"] is two
    assert not hasattr(Letters, "mailer")
    assert issubclass(first, Letters)
    assert "limit" not in vars(first)


def test_a_service_that_is_not_provided_is_named() -> None:
    with pytest.raises(TypeError, match=r"Letters\.mailer needs a Mailer; add it to provide"):
        Version("/v1", [Letters]).router(["something else"])
