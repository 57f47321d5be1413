"""Forged access tokens, sent to a route of each guard, in the header and in the cookie."""

from pathlib import Path
from typing import Final

import httpx
import pytest
from joserfc.jwk import ECKey, OKPKey

from accounts_app import create_app
from forged_tokens import changed, forged_tokens
from restwell import App
from restwell.auth._signing_keys import SigningKey, from_files, from_secrets
from restwell.settings import Settings
from restwell.testing import ApiClient
from restwell.testing._access import sample_path
from restwell.web import ACCESS_COOKIE
from restwell.web._guards import guard_name
from scoreboard import Score

ALGORITHMS: Final = ("HS256", "ES256", "Ed25519")


@pytest.fixture(params=ALGORITHMS)
def key(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> SigningKey:
    if request.param == "HS256":
        assert settings.jwt.secret is not None
        return from_secrets([settings.jwt.secret.get_secret_value()])[0]
    made = ECKey.generate_key("P-256") if request.param == "ES256" else OKPKey.generate_key("Ed25519")
    (tmp_path / "jwt.pem").write_bytes(made.as_pem(private=True))
    return from_files([tmp_path / "jwt.pem"])[0]


@pytest.fixture
def app(settings: Settings, key: SigningKey, tmp_path: Path) -> App:
    files = () if key.algorithm == "HS256" else (tmp_path / "jwt.pem",)
    return create_app(settings.model_copy(update={"jwt": settings.jwt.model_copy(update={"key_files": files})}))


@pytest.mark.slow
@pytest.mark.scoreboard("A8", "JWT attacks on a route of each guard", "100% rejected")
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_no_forged_token_passes_a_guard(
    app: App, client: httpx.AsyncClient, admin: ApiClient, key: SigningKey, score: Score
) -> None:
    """Breaks when a guard authenticates without verifying the token, and when the cookie is believed."""
    routes = {" and ".join(map(guard_name, one.guards)): one for one in app.routes if one.guards}
    assert len(routes) >= 5
    good = admin.tokens["access_token"]
    attacks = forged_tokens(key, good)
    accepted = []
    for guard, route in routes.items():
        path = sample_path(route, {})
        for name, token in attacks.items():
            for header, value in (("authorization", f"Bearer {token}"), ("cookie", f"{ACCESS_COOKIE}={token}")):
                headers = {b"sec-fetch-site": b"same-origin", header.encode(): value.encode()}
                status = (await client.request(route.method, path, headers=headers)).status_code
                accepted += [(guard, header, name, status)] if status != 401 else []
    assert accepted == []
    assert (await ApiClient(client, changed(key, good)).get("/v1/users/me")).status_code == 200
    score.note(f"{len(attacks)} with {key.algorithm} rejected by {len(routes)} guards, each in header and cookie")
