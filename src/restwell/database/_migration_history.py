"""The linear history of the migrations of one package, compared with the migrations that a database has applied."""

from pathlib import Path

from restwell.database._migration_files import (
    APPLICATION,
    MigrationFile,
    Phase,
    named,
    next_number,
    read_migrations,
)
from restwell.errors import ConfigurationError


class History:
    """The migrations of ``package`` in ``folder/versions``; without a folder, there are none.

    Raises ConfigurationError, with a line for each error, for files that do not form a linear history.
    """

    def __init__(self, package: str, folder: Path | None) -> None:
        self.package = package
        try:
            files = read_migrations(package, folder / "versions") if folder is not None else []
        except ConfigurationError as error:
            owner = "" if package == APPLICATION else f"{package}: "
            raise ConfigurationError([f"{owner}{fault}" for fault in error.faults]) from None
        self.files = {file.revision: file for file in files}

    @property
    def phases(self) -> dict[str, Phase]:
        return {revision: file.phase for revision, file in self.files.items()}

    @property
    def head(self) -> str:
        """The newest revision, as messages name it, or ``""``."""
        return self.newest(self.phases)

    def newest(self, applied: dict[str, Phase]) -> str:
        """The newest of these revisions, as messages name it, or ``""``."""
        return named(self.package, next(reversed(applied))) if applied else ""

    def pending(self, applied: dict[str, Phase], *, before_deploy: bool = False) -> list[MigrationFile]:
        """The migrations to run; with ``before_deploy``, only those before the first post-deploy one.

        Raises ConfigurationError if the applied revisions are not a prefix of the history.
        """
        missing = [file for revision, file in self.files.items() if revision not in applied]
        unknown = [named(self.package, revision) for revision in applied if revision not in self.files]
        if missing and unknown:
            raise ConfigurationError(
                [
                    (
                        f"the database has applied {', '.join(unknown)}, which has no file here,"
                        f" but not {', '.join(map(str, missing))}: restore {unknown[0]}.py"
                        " (from another branch or a newer release, or renamed), or use another database"
                    )
                ]
            )
        order = list(self.files.values())
        ran = [file for file in order if file.revision in applied]
        late = [file for file in missing if ran and order.index(file) < order.index(ran[-1])]
        if late:
            number = next_number(file.number for file in order)
            raise ConfigurationError(
                [
                    f"{file} is ordered before {ran[-1]}, which was applied to this database without it:"
                    f" rename it to be the last one, {number}_{file.revision.partition('_')[2]}.py"
                    for file in late
                ]
            )
        if before_deploy:
            post = next((n for n, file in enumerate(missing) if file.phase == "post"), len(missing))
            return missing[:post]
        return missing

    def is_behind(self, applied: dict[str, Phase]) -> bool:
        """True if this release cannot run on the database before more migrations ran."""
        return bool(self.files) and (not applied or bool(self.pending(applied, before_deploy=True)))

    def is_ahead(self, applied: dict[str, Phase]) -> bool:
        """True if a newer release has removed from the database what this release may use."""
        return any(phase == "post" for revision, phase in applied.items() if revision not in self.files)
