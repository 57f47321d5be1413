"""The page of the cache."""

from ops_app import FormBrowser
from restwell import App


async def test_the_page_shows_the_reads_of_each_kind_of_key_and_clears_them(app: App, admin: FormBrowser) -> None:
    loads = []

    async def load() -> str:
        loads.append(1)
        return "value"

    async def read() -> None:
        await app.kit.cache.get_or_load("gadget:1", load, kind=str, tags=["gadget:1"], ttl_seconds=60)

    for _ in range(4):
        await read()
    page = await admin.open("/ops/cache")
    row = page[page.index("<code>gadget") :].split("</tr>")[0]
    assert "75.0 %" in row
    for fields in ({"tag": "gadget:1"}, {"tag": ""}):
        before = len(loads)
        answer = await admin.submit(page, "/ops/cache/clear", **fields)
        assert answer.status_code == 303
        await read()
        assert len(loads) == before + 1
