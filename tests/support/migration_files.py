"""Writes migrations for tests."""

from pathlib import Path

from restwell.database import Migrations


def step(number: str, down: str | None, *, phase: str = "pre", table: str = "", more: str = "") -> str:
    """The text of a migration that creates a table."""
    return (
        f'"""A step ({phase}-deploy)."""\nfrom alembic import op\n{more}\nrevision = "{number}"\n'
        f"down_revision = {down!r}\ndef upgrade():\n"
        f'    op.execute("CREATE TABLE {table or "t" + number} (n INTEGER)")\n'
    )


ONE, TWO = step("0001", None), step("0002", "0001")


def write(folder: Path, files: dict[str, str]) -> Path:
    """Make these the only files of ``folder/versions``. Returns the folder."""
    versions = folder / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    for old in versions.iterdir():
        if old.is_file():
            old.unlink()
    for name, text in files.items():
        (versions / f"{name}.py").write_text(text)
    return folder


def only(folder: Path, **files: str) -> Migrations:
    """An application with exactly these migrations, on a kit without tables."""
    return Migrations(write(folder, files), packages={})
