"""Forged access tokens: what is made without the key, or with it for another purpose, time or receiver."""

import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any
from uuid import uuid4

import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey

from restwell.auth._signing_keys import SigningKey, from_secrets


def changed(
    key: SigningKey, good: str, with_key: Any = None, header: dict[str, Any] | None = None, **claims: Any
) -> str:
    """The token with other claims and header fields, signed again. None removes one."""
    fields = {"alg": key.algorithm, "typ": "at+jwt", "kid": key.id} | (header or {})
    token_header = {name: value for name, value in fields.items() if value is not None}
    all_claims = {**msgspec.json.decode(part(good, 1)), **claims}
    payload = {name: value for name, value in all_claims.items() if value is not None}
    return jwt.encode(token_header, payload, with_key or key.key, algorithms=[token_header["alg"]], default_type=None)


def expired(secret: str, good: str) -> str:
    """The token as it is after its time."""
    now = int(time.time())
    return changed(from_secrets([secret])[0], good, iat=now - 1_000, exp=now - 100)


def forged_tokens(key: SigningKey, good: str) -> dict[str, str]:
    """Tokens that must be rejected, made from the valid token of a session."""
    now = int(time.time())
    header, body, signature = good.split(".")
    claims = msgspec.json.decode(part(good, 1))
    issuer = claims["iss"]
    foreign = {"ES256": ECKey.generate_key("P-256"), "Ed25519": OKPKey.generate_key("Ed25519")}
    mine: Any = foreign.get(key.algorithm) or OctKey.generate_key(256)

    def signed(with_key: Any = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        return changed(key, good, with_key, header, **claims)

    confused = f"{_encode({'alg': 'HS256', 'typ': 'at+jwt', 'kid': key.id})}.{body}"
    with_public_key = hmac.digest(_public_bytes(key), confused.encode(), "sha256")
    return {
        "none": f"{_encode({'alg': 'none', 'typ': 'at+jwt', 'kid': key.id})}.{body}.",
        "None": f"{_encode({'alg': 'None', 'typ': 'at+jwt', 'kid': key.id})}.{body}.",
        "no algorithm": f"{_encode({'typ': 'at+jwt', 'kid': key.id})}.{body}.{signature}",
        "the public key as a secret": f"{confused}.{urlsafe_b64encode(with_public_key).decode().rstrip('=')}",
        "another hash": signed(OctKey.generate_key(512), {"alg": "HS512"}),
        "another key": signed(mine),
        "a key of its own in the header": signed(mine, {"jwk": mine.as_dict(private=False)}),
        "a key by an address": signed(mine, {"jku": "https://evil.example/jwks.json"}),
        "a certificate by an address": signed(mine, {"x5u": "https://evil.example/cert.pem"}),
        "no key id": signed(header={"kid": None}),
        "an unknown key id": signed(header={"kid": "unknown"}),
        "a path as key id": signed(mine, {"kid": "../../dev/null"}),
        "SQL as key id": signed(mine, {"kid": f"{key.id}' OR '1'='1"}),
        "an identity token": signed(header={"typ": "JWT"}),
        "no type": signed(header={"typ": None}),
        "another issuer": signed(iss="evil"),
        "no issuer": signed(iss=None),
        "another audience": signed(aud="evil"),
        "several audiences": signed(aud=[issuer, "evil"]),
        "no audience": signed(aud=None),
        "expired": signed(exp=now - 1),
        "no end": signed(exp=None),
        "an end that is none": signed(exp="never"),
        "issued in the future": signed(iat=now + 3_600),
        "not valid yet": signed(nbf=now + 3_600),
        "no session": signed(sid=None),
        "a subject that is none": signed(sub="1 OR 1=1"),
        "changed claims": f"{header}.{_encode({**claims, 'sub': str(uuid4())})}.{signature}",
        "truncated": good[:-4],
        "without a signature": f"{header}.{body}.",
        "oversized": good + "a" * 5_000,
        "two parts": f"{header}.{body}",
        "five parts": f"{good}.{body}.{signature}",
        "not base64": f"{header}.{body}.€€€",
        "not JSON": f"{urlsafe_b64encode(b'nonsense').decode()}.{body}.{signature}",
        "deep JSON": f"{urlsafe_b64encode(b'[' * 1_000).decode()}.{body}.{signature}",
        "nothing": "",
    }


def part(token: str, index: int) -> bytes:
    """A decoded part: 0 is the header, 1 the claims."""
    encoded = token.split(".")[index]
    return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))


def _public_bytes(key: SigningKey) -> bytes:
    """The attacker's knowledge of a key: the published public key, or nothing of a secret."""
    return b"k" * 32 if isinstance(key.key, OctKey) else key.key.as_pem(private=False)


def _encode(value: object) -> str:
    return urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()
