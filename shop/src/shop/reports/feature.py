from typing import Final

from restwell.web import Feature
from shop.reports import queries
from shop.reports.builder import ReportBuilder
from shop.reports.jobs import build_report
from shop.reports.routes import ReportController
from shop.reports.service import ReportService

reports: Final = Feature(
    controllers=[ReportController],
    services=[ReportService, ReportBuilder],
    jobs=[build_report],
    queries=[queries],
    tag_descriptions={"Reports": "Sales reports for admins, made in the background."},
)
