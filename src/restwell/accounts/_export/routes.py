from restwell.accounts._export.schemas import PersonalDataExport
from restwell.accounts._export.service import ExportService
from restwell.auth import Actor
from restwell.web import Controller, Stream, get, signed_in, stream_json


class ExportController(Controller):
    path = "/users/me/export"
    tags = ["Users"]

    @get(guards=[signed_in])
    async def export_personal_data(self, actor: Actor, exports: ExportService) -> Stream[PersonalDataExport]:
        """Export your personal data.

        A JSON document with all data that the application stores about you.
        """
        return stream_json(await exports.export(actor), "export.json")
