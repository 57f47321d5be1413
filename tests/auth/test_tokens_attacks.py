"""Attacks on access tokens of an issuer with several keys, and on the encoding of signatures."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc import jwe, jws
from joserfc.jwk import ECKey, OctKey, OKPKey

from restwell.auth import AccessTokens, RefreshTokens
from restwell.auth._signing_keys import SigningKey, from_secrets
from restwell.errors import Unauthorized
from restwell.pages import Cursors
from scoreboard import Score

USER, SESSION = uuid4(), uuid4()
SECRET = "a secret for tests, which is long enough to be one"
(SYMMETRIC,) = from_secrets([SECRET])
EC = SigningKey("ec", "ES256", ECKey.generate_key("P-256"))
ED = SigningKey("ed", "Ed25519", OKPKey.generate_key("Ed25519"))
tokens = AccessTokens([EC, ED, SYMMETRIC], issuer="tiny", ttl_seconds=900)
"""As during a migration from a secret to key files."""


def encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def header(**changed: Any) -> str:
    return encode(json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": "ec", **changed}).encode())


def with_hmac(said: str, secret: bytes) -> str:
    return f"{said}.{encode(hmac.digest(secret, said.encode(), 'sha256'))}"


def attacks() -> dict[str, str]:
    good = tokens.issue(USER, SESSION)
    head, body, signature = good.split(".")
    raw = decode(signature)
    r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    claims = json.loads(decode(body))
    assert isinstance(ED.key, OKPKey)
    assert isinstance(ED.key.private_key, Ed25519PrivateKey)
    former = f"{header(alg='EdDSA', kid='ed')}.{body}"
    pem = [key.key.as_pem(private=False) for key in (EC, ED) if not isinstance(key.key, OctKey)]
    coordinates = [decode(str(key.key.as_dict(private=False)["x"])) for key in (EC, ED)]
    encrypted = jwe.encrypt_compact(
        {"alg": "dir", "enc": "A256GCM", "typ": "at+jwt"}, json.dumps(claims), OctKey.generate_key(256)
    )
    two_exp = decode(body)[:-1] + f', "exp": {int(time.time()) - 100}}}'.encode()
    return {
        "r and s are zero": f"{head}.{body}.{encode(bytes(64))}",
        "r and s are the order of the curve": f"{head}.{body}.{encode(bytes.fromhex(ORDER) * 2)}",
        "a signature in DER": f"{head}.{body}.{encode(encode_dss_signature(r, s))}",
        "a signature of one more byte": f"{head}.{body}.{encode(raw + b'0')}",
        "the id of one key with the algorithm of another": f"{header(kid='ed')}.{body}.{signature}",
        "the algorithm of the secret with the id of a key pair": with_hmac(f"{header(alg='HS256')}.{body}", pem[0]),
        **{
            f"public key {index} as the secret": with_hmac(f"{header(alg='HS256', kid=SYMMETRIC.id)}.{body}", public)
            for index, public in enumerate([*pem, *coordinates])
        },
        "the id as the secret": with_hmac(f"{header(alg='HS256', kid=SYMMETRIC.id)}.{body}", SYMMETRIC.id.encode()),
        "an empty secret": with_hmac(f"{header(alg='HS256', kid=SYMMETRIC.id)}.{body}", b""),
        "the secret itself, not the key derived from it": with_hmac(
            f"{header(alg='HS256', kid=SYMMETRIC.id)}.{body}", SECRET.encode()
        ),
        "the former name of Ed25519": f"{former}.{encode(ED.key.private_key.sign(former.encode()))}",
        "the type of a logout token": jws.serialize_compact(
            {"alg": "ES256", "typ": "logout+jwt", "kid": "ec"}, decode(body), EC.key, ["ES256"]
        ),
        "an expiry, then one in the past": jws.serialize_compact(
            {"alg": "ES256", "typ": "at+jwt", "kid": "ec"}, two_exp, EC.key, ["ES256"]
        ),
        "an algorithm, then another": ".".join(
            [encode(b'{"alg":"ES256","typ":"at+jwt","kid":"ec","alg":"none"}'), body, ""]
        ),
        "a payload that is not encoded": f"{header(b64=False, crit=['b64'])}.{decode(body).decode()}.{signature}",
        "encrypted": encrypted,
        "JSON serialization": json.dumps({"protected": head, "payload": body, "signature": signature}),
        "a space before": f" {good}",
        "a line break after": f"{good}\n",
        "padding": f"{good}==",
        "a part too many": f"{good}.",
        "the parts in another order": f"{body}.{head}.{signature}",
        "the signature of another token": f"{good.rpartition('.')[0]}.{tokens.issue(USER, SESSION).rpartition('.')[2]}",
        "a refresh token": RefreshTokens(b"key").issue(),
        "a cursor": Cursors(b"key").encode("scope", (str(USER),)),
    }


ORDER = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"


@pytest.mark.scoreboard("A8", "JWT attacks on several keys", "100% rejected", backend="none")
def test_no_key_verifies_a_token_of_another_algorithm_or_form(score: Score) -> None:
    """Breaks without the comparison of the type. The algorithm is checked twice: here, and by the library."""
    tried = attacks()
    accepted = [name for name, token in tried.items() if _accepts(token)]
    score.note(f"{len(tried) - len(accepted)} of {len(tried)} rejected")
    assert accepted == []


@pytest.mark.parametrize("key", [EC, ED, SYMMETRIC], ids=["EC", "Ed25519", "secret"])
def test_each_configured_key_verifies_its_own_tokens(key: SigningKey) -> None:
    """The attacks above are of no use if none of these keys is accepted."""
    token = AccessTokens([key], issuer="tiny", ttl_seconds=900).issue(USER, SESSION)
    assert tokens.verify(token).sub == USER


CHANGES: list[Callable[[dict[str, Any]], dict[str, Any]]] = [
    lambda claims: {**claims, "sid": None, "client_id": str(uuid4())},
    lambda claims: {**claims, "sid": None, "scope": "admin"},
    lambda claims: {**claims, "sub": [str(USER)]},
    lambda claims: {**claims, "sub": {"": str(USER)}},
    lambda claims: {**claims, "exp": float(claims["exp"]) + 0.5},
    lambda claims: {**claims, "exp": True},
    lambda claims: {**claims, "aud": ["tiny"]},
    lambda claims: {**claims, "iss": "tiny\x00"},
    lambda claims: {**claims, "iss": "TINY"},
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_signed_token_with_claims_that_the_kit_does_not_issue_is_refused(
    change: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    """Breaks when a machine's token need not be of its own client, or when a claim is converted instead of compared."""
    claims = json.loads(decode(tokens.issue(USER, SESSION).split(".")[1]))
    payload = json.dumps({name: value for name, value in change(claims).items() if value is not None}).encode()
    token = jws.serialize_compact({"alg": "ES256", "typ": "at+jwt", "kid": "ec"}, payload, EC.key, ["ES256"])
    assert not _accepts(token)


def test_a_rejected_token_does_not_say_why_its_key_or_signature_is_wrong() -> None:
    """Breaks when the message of the library reaches the client: it would name the keys that exist."""
    messages = set()
    for token in attacks().values():
        with pytest.raises(Unauthorized) as rejected:
            tokens.verify(token)
        messages.add(str(rejected.value))
    assert messages <= {"The access token is not valid.", "The access token has expired. Refresh it."}


def _accepts(token: str) -> bool:
    try:
        tokens.verify(token)
    except Unauthorized:
        return False
    return True
