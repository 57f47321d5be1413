"""The tables of all metrics in docs/metrics.md: ``python tests/support/metrics_table.py`` writes it."""

import importlib
import pkgutil
from pathlib import Path
from typing import Final, get_args, get_type_hints

import restwell
from restwell.observability._metric_families import DEFINITIONS, MetricDefinition

DOCUMENT: Final = Path(__file__).parents[2] / "docs/metrics.md"
BEGIN: Final = "| Counter |"
END: Final = "\n\n## "


def definitions() -> list[MetricDefinition]:
    """The metrics of all modules of the kit, sorted by name."""
    for module in pkgutil.walk_packages(restwell.__path__, "restwell."):
        if not module.name.endswith("__main__") and "._migrations" not in module.name:
            importlib.import_module(module.name)
    return sorted(DEFINITIONS.values(), key=lambda each: each.name)


def tables() -> str:
    """One table for each type."""
    return "\n\n".join(_table(kind) for kind in get_args(get_type_hints(MetricDefinition)["kind"]))


def _table(kind: str) -> str:
    rows = (
        f"| `{each.name}` | {', '.join(each.labels)} | {each.text} |" for each in definitions() if each.kind == kind
    )
    return "\n".join([f"| {kind.capitalize()} | Labels | Meaning |", "|---|---|---|", *rows])


def written() -> tuple[str, str, str]:
    """What the document has before, as and after the tables."""
    before, begin, rest = DOCUMENT.read_text().partition(BEGIN)
    rows, end, after = rest.partition(END)
    return before, begin + rows, end + after


if __name__ == "__main__":
    before, _, after = written()
    DOCUMENT.write_text(before + tables() + after)
