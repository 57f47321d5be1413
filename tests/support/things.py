"""Routes with values in their paths, each answered by another part of the application."""

from uuid import UUID

from restwell.web import Controller, FromPath, get, public

ID = "018f0000-abcd-7000-8000-000000000001"


class Things(Controller):
    path = "/things"

    @get("/{thing_id:uuid}")
    async def plain(self, thing_id: FromPath[UUID]) -> dict[str, UUID]:
        """Served by the fast path."""
        return {"id": thing_id}

    @get("/by-framework/{thing_id:uuid}", sync_to_thread=False)
    def by_framework(self, thing_id: FromPath[UUID]) -> dict[str, UUID]:
        """Served by the framework."""
        return {"id": thing_id}

    @get("/kept/{thing_id:uuid}", cached=public(ttl_seconds=60, tags=[]))
    async def kept(self, thing_id: FromPath[UUID]) -> dict[str, UUID]:
        """Served by the edge."""
        return {"id": thing_id}

    @get("/number/{number:int}")
    async def number(self, number: FromPath[int]) -> dict[str, int]:
        """A number."""
        return {"number": number}

    @get("/named/{name:str}")
    async def named(self, name: FromPath[str]) -> dict[str, str]:
        """Any text."""
        return {"name": name}
