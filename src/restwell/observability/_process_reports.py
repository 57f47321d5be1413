"""What each process reports about itself to the other processes of its machine: named sections of bytes.

They are published with the metrics (``_metrics.py``), and read by the operations page. Each is a snapshot, bounded in
size, that its owner encodes when it is asked.
"""

import os
import platform
import resource
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec
import structlog
from msgspec import Struct

log = structlog.get_logger("restwell.metrics")

MAX_SECTION_BYTES: Final = 65_536
FACTS: Final = "process"
"""The section with the ProcessFacts."""

Report = Mapping[str, bytes]
"""The sections of one process by name."""

T = TypeVar("T")


class ProcessFacts(Struct, frozen=True):
    """``reported_at`` of another process is at most seconds old, unless its event loop is blocked.

    ``version`` is that of the application. ``memory_bytes`` is the resident memory.
    """

    pid: int
    kind: Literal["server", "worker"]
    version: str
    python: str
    started_at: datetime
    reported_at: datetime
    memory_bytes: int


class ProcessReports:
    """The sections of this process. ``kind`` and ``version`` are set when the application is built."""

    def __init__(self) -> None:
        self.kind: Literal["server", "worker"] = "server"
        self.version = ""
        self._started_at = datetime.now(UTC)
        self._sections: dict[str, Callable[[], object]] = {FACTS: self._facts}
        self._omitted: set[str] = set()

    def add(self, name: str, provide: Callable[[], object]) -> None:
        """Report what ``provide`` returns, encoded as MessagePack, in at most MAX_SECTION_BYTES.

        It is called in the event loop at each publication, once a second, so it only copies. A larger section, or one
        that raises, is left out and logged once.
        """
        self._sections[name] = provide

    def own(self) -> dict[str, bytes]:
        report = {}
        for name, provide in self._sections.items():
            try:
                report[name] = _encoded(provide())
            except Exception as error:  # noqa: BLE001  # the metrics are published all the same
                if name not in self._omitted:
                    self._omitted.add(name)
                    log.warning("process_report_omitted", section=name, reason=str(error))
        return report

    def _facts(self) -> ProcessFacts:
        return ProcessFacts(
            os.getpid(),
            self.kind,
            self.version,
            platform.python_version(),
            self._started_at,
            datetime.now(UTC),
            memory_bytes(),
        )


def _encoded(content: object) -> bytes:
    section = msgspec.msgpack.encode(content)
    if len(section) > MAX_SECTION_BYTES:
        raise ValueError(f"it has {len(section)} bytes, and at most {MAX_SECTION_BYTES} are allowed")
    return section


def read_section(report: Report, name: str, kind: type[T]) -> T | None:
    """The section of a report, or None if the process does not report it or is of another release."""
    try:
        section: T = msgspec.msgpack.decode(report[name], type=kind)
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return section


def memory_bytes() -> int:
    """The resident memory of this process; its peak if the system does not report the current value."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1_024
