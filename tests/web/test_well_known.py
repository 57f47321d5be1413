"""Other servers can verify access tokens that are signed with a key pair."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.jwk import KeySet

from api_client import assert_problem
from restwell import Restwell
from restwell.settings import AppSettings, JwtSettings, SecuritySettings, Settings
from restwell.testing import running
from restwell.web import ClientCredentials, Feature, Version
from tiny.app import SOMEONE, create_app


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "jwt.pem"
    path.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


async def test_the_public_keys_are_published_and_cacheable(tiny_settings: Settings, key_file: Path) -> None:
    keys = JwtSettings(secret=tiny_settings.jwt.secret, key_files=(key_file,))
    app = create_app(tiny_settings.model_copy(update={"jwt": keys}))
    async with running(app) as client:
        answer = await client.get("/.well-known/jwks.json")
        assert answer.headers["content-type"] == "application/jwk-set+json"
        assert answer.headers["cache-control"] == "public, max-age=300"
        (key,) = answer.json()["keys"]
        assert_problem(await client.get("/.well-known/oauth-authorization-server"), 404, "not_found")
    assert sorted(key) == ["alg", "crv", "kid", "kty", "use", "x"]


async def test_the_metadata_lead_from_the_issuer_of_a_token_to_its_key(tiny_settings: Settings, key_file: Path) -> None:
    """A server that knows only the issuer finds the key of a token (RFC 8414)."""
    issuer_url = "https://shop.example"
    changes = {
        "jwt": JwtSettings(secret=tiny_settings.jwt.secret, key_files=(key_file,)),
        "app": AppSettings(url=issuer_url),
    }
    kit = Restwell(tiny_settings.model_copy(update=changes), name="issuer")
    feature = Feature(client_credentials=ClientCredentials("/oauth/token", {"notes:read": "Read notes."}))
    app = kit.app([Version("/v1", [feature])])
    async with running(app) as client:
        metadata = (await client.get("/.well-known/oauth-authorization-server")).json()
        keys = (await client.get(metadata["jwks_uri"].removeprefix(issuer_url))).json()
    issued = kit.access_tokens.issue(SOMEONE, SOMEONE)
    token = jwt.decode(issued, KeySet.import_key_set(keys), algorithms=["Ed25519"])
    assert token.header["typ"] == "at+jwt"
    assert token.claims["iss"] == metadata["issuer"] == issuer_url
    assert token.claims.keys() == {
        "sub",
        "sid",
        "client_id",
        "jti",
        "iss",
        "aud",
        "iat",
        "exp",
    }  # the claims of RFC 9068 2.2 and sid
    assert metadata["token_endpoint"] == f"{issuer_url}/v1/oauth/token"
    assert metadata["scopes_supported"] == ["notes:read"]


async def test_security_txt_names_the_security_contact(tiny_settings: Settings) -> None:
    changes = {
        "security": SecuritySettings(contact="mailto:security@shop.example"),
        "app": AppSettings(url="https://shop.example"),
    }
    async with running(create_app(tiny_settings.model_copy(update=changes))) as client:
        answer = await client.get("/.well-known/security.txt")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    fields = dict(line.split(": ", 1) for line in answer.text.splitlines())
    assert fields["Contact"] == "mailto:security@shop.example"
    assert fields["Canonical"] == "https://shop.example/.well-known/security.txt"
    left = datetime.fromisoformat(fields["Expires"]) - datetime.now(UTC)
    assert timedelta(days=30) < left < timedelta(days=365), "RFC 9116 2.5.5 recommends less than a year"


async def test_security_txt_does_not_exist_without_a_contact(tiny: httpx.AsyncClient) -> None:
    assert_problem(await tiny.get("/.well-known/security.txt"), 404, "not_found")


async def test_a_signing_secret_is_not_published(tiny: httpx.AsyncClient) -> None:
    assert_problem(await tiny.get("/.well-known/jwks.json"), 404, "not_found")
