"""The overview."""

from ops_app import FormBrowser


async def test_the_overview_is_the_first_page(admin: FormBrowser) -> None:
    assert "<h1>Overview</h1>" in await admin.open("/ops")
