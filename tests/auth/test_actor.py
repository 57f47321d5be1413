"""The caller as services receive it."""

from uuid import uuid4

from restwell.auth import Actor

USER, SESSION = uuid4(), uuid4()


def test_an_actor_is_compared_with_its_claims_and_can_be_a_key_of_a_dict() -> None:
    """Breaks without a hash of its own: claims are a dict, which has none."""
    actor = Actor(USER, "user", SESSION, claims={"tenant": 7})
    assert {actor: 1}[Actor(USER, "user", SESSION, claims={"tenant": 7})] == 1
    assert Actor(USER, "user", SESSION) != actor
