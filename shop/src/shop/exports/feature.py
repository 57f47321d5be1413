from typing import Final

from restwell.web import Feature
from shop.exports.routes import ExportController
from shop.exports.service import ExportService

exports: Final = Feature(
    controllers=[ExportController],
    services=[ExportService],
)
