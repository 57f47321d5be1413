"""HTTP of exports."""

from typing import Final

from restwell.auth import Actor
from restwell.web import Controller, Inject, Response, get, signed_in, stream_json
from shop.exports.schemas import PersonalDataExport
from shop.exports.service import ExportService

_PAGES: Final = 1_000_000
"""As many as there are; each is read once."""


class ExportController(Controller):
    path = "/users/me/export"
    tags = ["Users"]
    exports: ExportService

    @get(
        guards=[signed_in],
        query_budget=dict.fromkeys(
            ("orders.next_page_of_user", "order_lines.of_user", "security_events.next_page_of_user"), _PAGES
        ),
    )
    async def export_personal_data(self, actor: Inject[Actor]) -> Response[PersonalDataExport]:
        """Take away all that is kept of you.

        One JSON document: your account, the ways you sign in, your devices, orders and security events.
        """
        return stream_json(await self.exports.export(actor), "export.json")
