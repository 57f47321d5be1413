"""``restwell dashboards``: dashboards of Grafana and alerts of Prometheus."""

from pathlib import Path
from typing import Annotated

import typer

from restwell._atomic_file import replacing
from restwell._dashboards import RUNBOOK
from restwell.errors import ConfigurationError


def dashboards(
    folder: Annotated[Path, typer.Argument(help="Where grafana/*.json and prometheus/restwell.rules.yml are written.")],
    *,
    runbook: Annotated[str, typer.Option(help="The address of the runbook that the alerts link to.")] = RUNBOOK,
) -> None:
    """Write the dashboards of Grafana and the alerts of Prometheus for the metrics of the kit."""
    from restwell._dashboards._files import dashboard_files

    for name, content in dashboard_files(runbook).items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as draft:
                draft.write_text(content, encoding="utf-8")
        except OSError as error:
            raise ConfigurationError([f"{error.filename or path}: {error.strerror}; choose another folder"]) from error
    print(f"wrote {len(dashboard_files(runbook))} files to {folder}")
