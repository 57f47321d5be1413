from typing import Final

from restwell.auth import Actor
from restwell.web import Controller, Stream, get, signed_in, stream_json
from shop.exports.schemas import PersonalDataExport
from shop.exports.service import ExportService

_MAX_PAGES: Final = 1_000_000
"""Upper bound of pages in one export."""


class ExportController(Controller):
    path = "/users/me/export"
    tags = ["Users"]

    @get(
        guards=[signed_in],
        query_budget=dict.fromkeys(
            ("orders.page_of_user", "order_lines.of_user", "security_events.page_of_user"), _MAX_PAGES
        ),
    )
    async def export_personal_data(self, actor: Actor, exports: ExportService) -> Stream[PersonalDataExport]:
        """Export your personal data.

        A JSON document with your account, linked identity providers, active sessions, orders and security events.
        """
        return stream_json(await exports.export(actor), "export.json")
