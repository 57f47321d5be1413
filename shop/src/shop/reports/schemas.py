from datetime import date
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct
from msgspec.structs import replace

from restwell.fields import Instant
from shop.reports.models import ReportFailure, ReportState

Day = Annotated[date, Meta(examples=["2026-01-31"], description="In UTC.")]


class ReportFile(StrEnum):
    CSV = "sales.csv"
    PDF = "sales.pdf"


class ReportCreateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The period includes both days."""

    first_day: Day
    last_day: Day


class Report(Struct, frozen=True):
    """``urls`` has the URLs of the files if the report is ready. ``failure_code`` is set if it failed."""

    id: UUID
    state: ReportState
    failure_code: ReportFailure | None
    progress: Annotated[int, Meta(ge=0, le=100, description="In percent.", examples=[40])]
    first_day: date
    last_day: date
    urls: dict[ReportFile, str]
    created_at: Instant

    def at(self, path: str) -> "Report":
        """The report with the URLs of its files, below its own."""
        return replace(self, urls={file: f"{path}/{file}" for file in ReportFile if self.state == ReportState.READY})
