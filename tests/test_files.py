"""File storage: names stay in the folder, and a file is the old or the new one at every moment."""

import os
from pathlib import Path

import pytest

from restwell.files import Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "files")


async def test_a_file_is_written_read_and_replaced(files: Files, tmp_path: Path) -> None:
    await files.write("images/one/large.webp", b"old")
    await files.write("images/one/large.webp", b"new")
    assert await files.read("images/one/large.webp") == b"new"
    (tmp_path / "report").write_bytes(b"copied")
    await files.copy_in("reports/2026.pdf", tmp_path / "report")
    assert files.path("reports/2026.pdf").read_bytes() == b"copied"
    with pytest.raises(FileNotFoundError):
        await files.read("images/two/large.webp")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../a",
        "a/../b",
        "a/..",
        "a//b",
        "a/",
        ".hidden",
        "a/.b",
        "A",
        "a b",
        "a\n",
        "a\x00",
        "é",
        "-a",
    ],
)
async def test_a_name_that_could_leave_the_folder_is_refused(files: Files, name: str) -> None:
    """Breaks when a name may begin with a dot, and when its end is not checked: `a` with a line feed."""
    for use in (files.path, files.read, files.delete):
        with pytest.raises(ValueError, match="invalid file name"):
            done = use(name)
            if not isinstance(done, Path):
                await done


async def test_a_reader_of_a_file_that_is_replaced_sees_the_old_content(files: Files) -> None:
    """Breaks when the file itself is written: the reader then sees a part of each."""
    await files.write("images/a.webp", b"old")
    with files.path("images/a.webp").open("rb") as reader:
        await files.write("images/a.webp", b"new")
        assert reader.read() == b"old"


async def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when the file itself is opened for writing, and when the temporary file is not removed."""
    await files.write("images/a.webp", b"old")

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(os, "fsync", fail)
        await files.write("images/a.webp", b"new")
    assert await files.read("images/a.webp") == b"old"
    assert [path.name for path in files.path("images").iterdir()] == ["a.webp"]


async def test_a_file_or_a_folder_is_deleted_and_a_missing_one_ignored(files: Files) -> None:
    await files.write("images/one/a.webp", b"a")
    await files.write("images/one/b.webp", b"b")
    await files.write("images/two/c.webp", b"c")
    await files.delete("images/one/a.webp")
    await files.delete("images/one")
    await files.delete("images/one")
    assert [path.name for path in files.path("images").iterdir()] == ["two"]


async def test_the_old_entries_of_a_folder_are_listed(files: Files) -> None:
    """Breaks when the temporary file of a running write is listed: a cleanup would delete it."""
    assert await files.list_older_than("images", 60) == []
    for name in ("old", "new", "two/c.webp"):
        await files.write(f"images/{name}", b"")
    files.path("images/old").with_name(".1234.part").touch()
    for path in (".1234.part", "old"):
        os.utime(files.path("images") / path, (0, 0))
    assert await files.list_older_than("images", 60) == ["old"]
