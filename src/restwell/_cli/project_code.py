"""The code of the project in the current folder, to which ``restwell generate`` adds files."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from restwell._application import App
from restwell._cli.app_parts import imports, names_in, with_part
from restwell._cli.loading import create_app_to_inspect, load
from restwell._project import named_application
from restwell.database._migration_files import MAY_BE_EMPTY, next_number
from restwell.database._schema import created_tables
from restwell.errors import ConfigurationError

TESTS: Final = Path("tests")


class ProjectCode:
    """The package of the application, ``file`` that creates it, and the tests beside it."""

    def __init__(self, app: App, package: str, file: Path, migrations: Path) -> None:
        self.package, self.file, self._app, self._migrations = package, file, app, migrations
        self.prefix = app.versions[-1].prefix if app.versions else ""
        self.has_accounts = any(each.package.startswith("accounts") for each in app.migrations.files)

    @classmethod
    def load(cls) -> "ProjectCode":
        """Raises ConfigurationError if the application has no package, no metadata or no migrations."""
        MAY_BE_EMPTY.set(True)
        project, settings = load()
        app = create_app_to_inspect(project, settings)
        module = named_application().partition(":")[0]
        package, _, _ = module.rpartition(".")
        file = Path(str(sys.modules[module].__file__))
        folder = app.migrations.folder
        if not package or folder is None or not (file.parent / "schema.py").exists():
            raise ConfigurationError(
                ["generate needs a package with app.py, migrations and schema.py, as restwell new makes it"]
            )
        return cls(app, package, file, folder)

    def tables(self) -> dict[str, str]:
        """The tables of the application, each with the function of its tests that adds a row, or nothing."""
        metadata = self._app.migrations.metadata
        return {name: _helper(TESTS / f"test_{name}.py") for name in (metadata.tables if metadata is not None else ())}

    def check_free(self, name: str, statement: str, *, path: str, table: bool = False) -> None:
        """Raises ConfigurationError if something else has the name, beside what ``statement`` imports already.

        ``path``: what must not exist in the package. ``table``: whether a table of this name must not exist.
        """
        code = self.file.read_text(encoding="utf-8")
        if imports(code, statement):
            return
        histories = self._app.migrations.packages.values()
        used = [f"{_shown(self.file.with_name(path))} exists"] if self.file.with_name(path).exists() else []
        used += [f"{_shown(self.file)} uses the name {name}"] if name in names_in(code) else []
        if table:
            statements = self._app.migrations.statements("sqlite", [file for files in histories for file in files])
            used += [f"the table {name} exists"] if name in created_tables(statements) else []
        if used:
            raise ConfigurationError([f"{each} already; choose another name" for each in used])

    def migration(self, title: str) -> tuple[str, str | None]:
        """The number of the migration ``NNNN_title``, or the next number; and the number before it."""
        files = self._app.migrations.own_files
        own = [file.number for file in files if file.revision == f"{file.number}_{title}"]
        number = own[0] if own else next_number(file.number for file in files)
        before = [file.number for file in files if int(file.number) < int(number)]
        return number, max(before, key=int, default=None)

    def add(self, files: Mapping[Path, str], statement: str, part: str) -> None:
        """Write the files, and add ``part`` to the parts of the application. Repeated, it changes nothing.

        Raises ConfigurationError, and writes nothing, if a file exists with another text.
        """
        texts = {self._path(path): formatted(self._path(path), text, self.package) for path, text in files.items()}
        existing = {path for path in texts if path.exists()}
        if changed := [path for path in existing if path.read_text(encoding="utf-8") != texts[path]]:
            raise ConfigurationError(
                [
                    f"{_shown(path)} has another text, so nothing is written; choose another name"
                    for path in sorted(changed)
                ]
            )
        written = {path: text for path, text in texts.items() if path not in existing}
        code = self.file.read_text(encoding="utf-8")
        if not imports(code, statement):
            added = with_part(code, statement, part)
            is_formatted = formatted(self.file, code, self.package) == code
            written[self.file] = formatted(self.file, added, self.package) if is_formatted else added
        for path, text in written.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(_shown(path))
        if not written:
            print("nothing is written: all files exist")

    def _path(self, path: Path) -> Path:
        folders = {self.package: self.file.parent, "migrations": self._migrations, "tests": TESTS}
        return folders[path.parts[0]].joinpath(*path.parts[1:])


def formatted(path: Path, text: str, package: str) -> str:
    """As ruff formats it with the settings of the project, with sorted imports and without unused ones."""
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
    if ruff is None:
        raise ConfigurationError(["generate formats what it writes: pip install ruff"])
    own = f'lint.isort.known-first-party=["{package}"]'  # ruff looks for the files, which are not there yet
    for arguments in (["check", "--fix-only", "--select=F401,I", "--config", own], ["format"]):
        command = [ruff, *arguments, "--quiet", f"--stdin-filename={path}", "-"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise ConfigurationError([f"ruff cannot {arguments[0]} {_shown(path)}: {done.stderr.strip()}"])
        text = done.stdout
    return text


def _helper(tests: Path) -> str:
    code = tests.read_text(encoding="utf-8") if tests.exists() else ""
    found = re.search(r"^async def (add_\w+)\(", code, re.MULTILINE)
    return found[1] if found is not None else ""


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
