"""How results are kept: as JSON, with when and where they were measured."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def keep(place: Path, what: str | None, **told: Any) -> None:
    """Write what was measured to ``place``, with the suffix ``.json``."""
    found = {"what": what, "at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), **told}
    place.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
