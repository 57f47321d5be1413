"""Access tokens of another issuer: only its valid tokens for this API are accepted."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from loopback_issuer import METADATA_PATH, LoopbackIssuer, loopback_issuer, new_key
from restwell.auth import MACHINE, AccessTokens, Actor, TrustedIssuer
from restwell.auth import _trusted_issuer as trusted_issuer
from restwell.auth._signing_keys import SigningKey
from restwell.errors import Forbidden, ServiceUnavailable, Unauthorized
from scoreboard import Score


@pytest.fixture
async def issuer() -> AsyncIterator[LoopbackIssuer]:
    async with loopback_issuer() as started:
        yield started


@pytest.fixture
def verify(issuer: LoopbackIssuer) -> TrustedIssuer:
    return TrustedIssuer(issuer.url, audience="orders")


async def test_a_token_of_the_issuer_is_an_actor_with_its_claims(issuer: LoopbackIssuer, verify: TrustedIssuer) -> None:
    actor = await verify(issuer.access_token(role="admin", scope="orders:read orders:write", tenant=7))
    assert (actor.role, actor.claims["tenant"]) == ("admin", 7)
    assert actor.scopes == {"orders:read", "orders:write"}
    assert actor.claims["iss"] == issuer.url
    assert not actor.is_machine


@pytest.mark.scoreboard("A8", "JWT attacks", "100% rejected", backend="none")
async def test_a_forged_or_foreign_token_is_refused(
    issuer: LoopbackIssuer, verify: TrustedIssuer, score: Score
) -> None:
    """Breaks without a check of algorithm, key, type, issuer, audience or times, or with a key from the token."""
    now, mine = int(time.time()), ECKey.generate_key("P-256", {"kid": "1"})
    good = issuer.access_token()
    header, body, signature = good.split(".")
    claims = json.loads(_decode(body))
    confused = f"{_encode({'alg': 'HS256', 'typ': 'at+jwt', 'kid': '1'})}.{body}"
    with_public_key = hmac.digest(issuer.key.as_pem(private=False), confused.encode(), "sha256")
    attacks = {
        "none": f"{_encode({'alg': 'none', 'typ': 'at+jwt', 'kid': '1'})}.{body}.",
        "the public key as a secret": f"{confused}.{base64.urlsafe_b64encode(with_public_key).decode().rstrip('=')}",
        "another key": issuer.access_token(key=mine),
        "an unknown key": issuer.access_token(header={"kid": "2"}, key=mine),
        "a key of its own in the header": issuer.access_token(key=mine, header={"jwk": mine.as_dict(private=False)}),
        "a key by an address": issuer.access_token(key=mine, header={"jku": f"{issuer.url}/evil"}),
        "a certificate by an address": issuer.access_token(key=mine, header={"x5u": f"{issuer.url}/evil"}),
        "a critical parameter": issuer.access_token(header={"crit": ["b64"], "b64": True}),
        "an ID token": issuer.access_token(header={"typ": "JWT"}),
        "no type": issuer.access_token(header={"typ": None}),
        "another issuer": issuer.access_token(iss="https://evil.example"),
        "an issuer with a slash": issuer.access_token(iss=f"{issuer.url}/"),
        "no issuer": issuer.access_token(iss=None),
        "another audience": issuer.access_token(aud="billing"),
        "audiences without this one": issuer.access_token(aud=["billing", "orders "]),
        "no audience": issuer.access_token(aud=None),
        "expired": issuer.access_token(exp=now - 61),
        "no end": issuer.access_token(exp=None),
        "an end as text": issuer.access_token(exp=str(now + 60)),
        "not valid yet": issuer.access_token(nbf=now + 120),
        "issued in the future": issuer.access_token(iat=now + 120),
        "no subject": issuer.access_token(sub=None),
        "an empty subject": issuer.access_token(sub=""),
        "a numeric subject": issuer.access_token(sub=7),
        "the role of machines": issuer.access_token(role=MACHINE),
        "a numeric role": issuer.access_token(role=1),
        "scopes of an odd type": issuer.access_token(scope={"orders:write": True}),
        "an audience, then another": issuer.sign(json.dumps(claims)[:-1].encode() + b', "aud": "billing"}'),
        "changed claims": f"{header}.{_encode({**claims, 'sub': 'eve'})}.{signature}",
        "without a signature": f"{header}.{body}.",
        "too long": issuer.access_token(padding="a" * 10_000),
        "no object": issuer.sign(b"[]"),
        "nothing": "",
    }
    accepted = [name for name, token in attacks.items() if not await _refused(verify, token)]
    score.note(f"{len(attacks) - len(accepted)} of {len(attacks)} rejected for a trusted issuer")
    assert accepted == []
    assert (await verify(good)).claims == claims
    assert "GET /evil" not in issuer.requests


async def test_a_symmetric_key_that_the_issuer_publishes_is_not_used(
    issuer: LoopbackIssuer, verify: TrustedIssuer
) -> None:
    """Breaks when the algorithms are not pinned: who reads the key set could sign."""
    key = OctKey.generate_key(256, {"kid": "s"})
    issuer.published.append(key.as_dict(private=True))
    assert await _refused(verify, issuer.access_token(key=key, header={"alg": "HS256", "kid": "s"}))


async def test_a_key_for_encryption_or_another_algorithm_verifies_no_token(issuer: LoopbackIssuer) -> None:
    """RFC 7517 4.2, 4.4. Breaks when a key is selected by its id only."""
    rsa = RSAKey.generate_key(2_048, {"kid": "r"})
    for change, accepted in (({}, True), ({"use": "enc"}, False), ({"alg": "PS256"}, False), ({"alg": "RS256"}, True)):
        issuer.published = [{**rsa.as_dict(private=False), **change}]
        fresh = TrustedIssuer(issuer.url, audience="orders")
        token = issuer.access_token(key=rsa, header={"alg": "RS256", "kid": "r"})
        assert await _refused(fresh, token) is not accepted, change


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize(
    ("alg", "key"),
    [
        ("RS256", RSAKey.generate_key(2_048, {"kid": "k"})),
        ("PS256", RSAKey.generate_key(2_048, {"kid": "k"})),
        ("ES256", new_key("k")),
        ("Ed25519", OKPKey.generate_key("Ed25519", {"kid": "k"})),
        ("EdDSA", OKPKey.generate_key("Ed25519", {"kid": "k"})),
    ],
)
async def test_each_asymmetric_algorithm_of_issuers_is_accepted(
    issuer: LoopbackIssuer, verify: TrustedIssuer, alg: str, key: RSAKey | ECKey | OKPKey
) -> None:
    """Issuers with Ed25519 keys still use the name EdDSA. RFC 9068 4 requires RS256."""
    issuer.published = [key.as_dict(private=False)]
    assert (await verify(issuer.access_token(key=key, header={"alg": alg, "kid": "k"}))).claims["sub"] == "ada"


async def test_clocks_may_differ_by_a_minute(issuer: LoopbackIssuer, verify: TrustedIssuer) -> None:
    now = int(time.time())
    await verify(issuer.access_token(exp=now - 30))
    await verify(issuer.access_token(nbf=now + 30, iat=now + 30))


async def test_an_issuer_that_sends_jwt_is_an_option(issuer: LoopbackIssuer) -> None:
    verify = TrustedIssuer(issuer.url, audience="orders", typ="JWT")
    for typ in ("JWT", "jwt", None):
        await verify(issuer.access_token(header={"typ": typ}))
    assert await _refused(verify, issuer.access_token(header={"typ": "at+jwt"}))
    strict = TrustedIssuer(issuer.url, audience="orders")
    for typ in ("at+jwt", "AT+JWT", "application/at+jwt"):
        await strict(issuer.access_token(header={"typ": typ}))


async def test_an_id_is_the_subject_or_derived_from_issuer_and_subject(
    issuer: LoopbackIssuer, verify: TrustedIssuer
) -> None:
    """Breaks when the id is derived from the subject alone, or when two spellings of a UUID are one user."""
    user = uuid4()
    assert (await verify(issuer.access_token(sub=str(user)))).id == user
    other_ids = {(await verify(issuer.access_token(sub=text))).id for text in ("ada", str(user).upper(), user.hex)}
    assert len(other_ids | {user}) == 4
    async with loopback_issuer() as other:
        same_name = await TrustedIssuer(other.url, audience="orders")(other.access_token(sub="ada"))
    assert same_name.id not in other_ids


async def test_a_session_is_the_sid_of_the_token(issuer: LoopbackIssuer, verify: TrustedIssuer) -> None:
    session = uuid4()
    assert (await verify(issuer.access_token(sid=str(session)))).session_id == session
    first, second = [await verify(issuer.access_token(sid=sid)) for sid in ("a", "b")]
    assert len({first.session_id, second.session_id, first.id}) == 3
    alone = await verify(issuer.access_token())
    assert alone.session_id == alone.id


@pytest.mark.parametrize("client", [{"client_id": "job"}, {"client_id": None, "azp": "job"}])
async def test_a_token_without_a_user_is_a_machine(
    issuer: LoopbackIssuer, verify: TrustedIssuer, client: dict[str, Any]
) -> None:
    """Breaks when such a token is a user's: it could do what any signed-in user can."""
    actor = await verify(issuer.access_token(sub="job", scope="orders:read", role="admin", **client))
    assert actor.is_machine
    assert actor.scopes == {"orders:read"}
    assert actor.session_id == actor.id


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "a b"}, {"a", "b"}),
        ({"scope": ["a", "b"]}, {"a", "b"}),
        ({"scp": "a b"}, {"a", "b"}),
        ({"scp": ["a"], "scope": "b"}, {"a", "b"}),
        ({"scope": "openid profile email address phone offline_access a"}, {"a"}),
        ({}, set()),
    ],
)
async def test_scopes_are_read_as_each_issuer_writes_them(
    issuer: LoopbackIssuer, verify: TrustedIssuer, claims: dict[str, Any], scopes: set[str]
) -> None:
    assert (await verify(issuer.access_token(**claims))).scopes == scopes


@pytest.mark.parametrize(
    ("value", "role"), [("admin", "admin"), (["admin"], "admin"), (["admin", "user"], ""), ([], ""), (None, "")]
)
async def test_the_role_is_a_claim_with_one_role(issuer: LoopbackIssuer, value: Any, role: str) -> None:
    """Breaks when the first of several roles is taken: their order has no meaning."""
    verify = TrustedIssuer(issuer.url, audience="orders", role_claim="https://shop.example/roles")
    actor = await verify(issuer.access_token(role="other", **{"https://shop.example/roles": value}))
    assert actor.role == role


async def test_the_application_changes_the_actor_or_rejects_it(issuer: LoopbackIssuer) -> None:
    def with_realm_role(actor: Actor) -> Actor:
        return msgspec.structs.replace(actor, role=actor.claims["realm_access"]["roles"][0])

    verify = TrustedIssuer(issuer.url, audience="orders", actor=with_realm_role)
    assert (await verify(issuer.access_token(realm_access={"roles": ["admin"]}))).role == "admin"
    claims: list[Any] = [None, 5, {"roles": []}]
    for claim in claims:
        assert await _refused(verify, issuer.access_token(realm_access=claim)), "a claim of a wrong type is not a 500"

    def reject(_: Actor) -> Actor:
        raise Forbidden

    with pytest.raises(Forbidden):
        await TrustedIssuer(issuer.url, audience="orders", actor=reject)(issuer.access_token())


async def test_another_application_of_the_kit_can_be_the_issuer(issuer: LoopbackIssuer) -> None:
    """It has the metadata of RFC 8414 only."""
    tokens = AccessTokens([SigningKey("k", "ES256", new_key("k"))], issuer=issuer.url, ttl_seconds=900)
    assert tokens.public_keys is not None
    issuer.answers[METADATA_PATH] = 404, {}
    issuer.answers["/.well-known/oauth-authorization-server"] = 200, issuer.metadata
    issuer.published = tokens.public_keys["keys"]
    user, session = uuid4(), uuid4()
    actor = await TrustedIssuer(issuer.url, audience=issuer.url)(tokens.issue(user, session))
    assert (actor.id, actor.session_id, actor.role) == (user, session, "")
    machine = await TrustedIssuer(issuer.url, audience=issuer.url)(tokens.issue_to_machine(user, ["orders:read"]))
    assert machine.is_machine


@pytest.mark.parametrize(
    "make",
    [
        lambda: TrustedIssuer("http://id.example", audience="orders"),
        lambda: TrustedIssuer("id.example", audience="orders"),
        lambda: TrustedIssuer("https://id.example?a=b", audience="orders"),
        lambda: TrustedIssuer("https://id.example/#a", audience="orders"),
        lambda: TrustedIssuer("https://id.example\n", audience="orders"),
        lambda: TrustedIssuer("https://id.example", audience=""),
        lambda: TrustedIssuer("https://id.example", audience="orders", typ="at+JWT"),  # type: ignore[arg-type]
    ],
)
def test_an_option_that_accepts_no_token_or_foreign_ones_is_refused(make: Callable[[], TrustedIssuer]) -> None:
    with pytest.raises(ValueError, match=r"issuer|audience|typ"):
        make()


async def test_a_token_that_was_verified_is_not_verified_again_and_still_expires(
    issuer: LoopbackIssuer, verify: TrustedIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when the expiry of a cached token is not checked."""
    token = issuer.access_token()
    actor = await verify(token)
    monkeypatch.setattr(trusted_issuer, "decode", lambda *_: pytest.fail("it was verified twice"))
    assert await verify(token) is actor
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 361)
    assert await _refused(verify, token)


async def test_the_cache_of_verified_tokens_is_bounded_and_holds_no_refused_token(
    issuer: LoopbackIssuer, verify: TrustedIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trusted_issuer, "CACHE_SIZE", 3)
    issued = [issuer.access_token(sub=f"{number}") for number in range(5)]
    for token in issued:
        await verify(token)
    assert await _refused(verify, f"{issued[0]}x")
    assert list(verify._verified) == issued[-3:]


async def test_a_key_that_the_issuer_removed_ends_its_tokens_also_the_cached_ones(
    issuer: LoopbackIssuer, verify: TrustedIssuer
) -> None:
    """Breaks when a cached token is not bound to the keys: a stolen key would be accepted until the token expires."""
    old = issuer.access_token()
    await verify(old)
    issuer.rotate("2")
    await verify(issuer.access_token())
    assert await _refused(verify, old)


async def test_without_its_keys_nothing_is_decided(issuer: LoopbackIssuer, verify: TrustedIssuer) -> None:
    """Breaks when an outage of the issuer is a 401: each client would sign its user out."""
    issuer.answers[METADATA_PATH] = 500, {}
    with pytest.raises(ServiceUnavailable) as refused:
        await verify(issuer.access_token())
    assert (refused.value.status, refused.value.headers["retry-after"]) == (503, "1")
    assert issuer.count(METADATA_PATH) == 1
    with pytest.raises(ServiceUnavailable):
        await verify(issuer.access_token())
    assert issuer.count(METADATA_PATH) == 1, "and the issuer is not asked for each token"


async def test_unknown_keys_cause_no_fetch_each(issuer: LoopbackIssuer, verify: TrustedIssuer) -> None:
    """Breaks without the limit: anyone could make the API send requests to the issuer."""
    await verify(issuer.access_token())
    stranger = new_key("x")
    tokens = [issuer.access_token(key=stranger, header={"kid": f"{number}"}) for number in range(50)]
    assert all(await asyncio.gather(*(_refused(verify, token) for token in tokens)))
    assert all([await _refused(verify, token) for token in tokens])
    assert issuer.count("/jwks") == 2


async def _refused(verify: TrustedIssuer, token: str) -> bool:
    try:
        await verify(token)
    except Unauthorized:
        return True
    return False


def _encode(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
