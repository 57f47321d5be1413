"""Routes with values in their paths, of which one is cached."""

from uuid import UUID

from restwell.web import Controller, get, public

ID = "018f0000-abcd-7000-8000-000000000001"


class Things(Controller):
    path = "/things"

    @get("/{thing_id}")
    async def plain(self, thing_id: UUID) -> dict[str, UUID]:
        """An id."""
        return {"id": thing_id}

    @get("/kept/{thing_id}", cache=public(ttl_seconds=60, tags=[]))
    async def kept(self, thing_id: UUID) -> dict[str, UUID]:
        """Stored by the edge."""
        return {"id": thing_id}

    @get("/number/{number}")
    async def number(self, number: int) -> dict[str, int]:
        """A number."""
        return {"number": number}

    @get("/named/{name}")
    async def named(self, name: str) -> dict[str, str]:
        """Any text."""
        return {"name": name}
