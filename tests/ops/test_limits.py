"""The page of the limits."""

import pytest

from ops_app import MEMBER, PASSWORD, FormBrowser
from restwell import App
from restwell.testing import ApiClient


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_the_page_shows_whom_a_rate_has_refused(app: App, admin: FormBrowser) -> None:
    """Breaks when the limiter forgets its clients."""
    member = await ApiClient(admin.client).sign_in(MEMBER, PASSWORD)
    user_id = (await member.get("/v1/users/me")).json()["id"]
    assert "No client was limited." in await admin.open("/ops/limits")
    assert app.kit.rate_limiter is not None
    rate = app.kit.rate_limiter.reads
    tight = type(rate)("tight", 1, 60)
    for _ in range(3):
        app.kit.rate_limiter.count_nowait(tight, user_id)
    page = await admin.open("/ops/limits")
    assert f'href="/ops/security?user={user_id}"' in page
    assert '<span class="badge muted">tight</span></td><td class="number">2</td>' in page
