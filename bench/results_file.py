"""Writes benchmark results as JSON, with the time and the machine."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def describe_machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def save_result(path: Path, what: str | None, **data: Any) -> None:
    """Write a result to ``path``, with the suffix ``.json``."""
    result = {
        "what": what,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        **data,
    }
    path.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
