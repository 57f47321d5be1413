"""Other servers can check our access tokens, where those are signed with a key that has a public half."""

from pathlib import Path

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from people import assert_problem
from restwell.settings import JwtSettings, Settings
from restwell.testing import running
from tiny.app import create_app


async def test_the_public_keys_are_published_and_may_be_kept_for_a_while(
    tiny_settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "jwt.pem"
    path.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    jwt = JwtSettings(secret=tiny_settings.jwt.secret, key_files=(path,))
    app = create_app(tiny_settings.model_copy(update={"jwt": jwt}))
    async with running(app) as client:
        answer = await client.get("/.well-known/jwks.json")
        assert answer.headers["content-type"] == "application/jwk-set+json"
        assert answer.headers["cache-control"] == "public, max-age=300"
        (key,) = answer.json()["keys"]
    assert sorted(key) == ["alg", "crv", "kid", "kty", "use", "x"]


async def test_a_secret_is_not(tiny: httpx.AsyncClient) -> None:
    assert_problem(await tiny.get("/.well-known/jwks.json"), 404, "not_found")
