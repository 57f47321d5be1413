"""A file appears complete or not at all."""

import os
import stat
from pathlib import Path

import pytest

from restwell._atomic_file import replacing


def test_a_reader_sees_the_old_file_until_the_new_one_is_complete(tmp_path: Path) -> None:
    """Breaks when the file itself is written, and when the draft is left behind."""
    path = tmp_path / "file"
    path.write_text("old")
    with path.open() as reader:
        with replacing(path) as draft:
            draft.write_text("half")
            assert path.read_text() == "old"
            draft.write_text("new")
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("exclusive", [True, False])
def test_an_error_leaves_the_old_file_and_no_draft(exclusive: bool, tmp_path: Path) -> None:  # noqa: FBT001  # a parameter
    """Breaks when the draft is renamed after an error, or kept."""
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path, exclusive=exclusive) as draft:
        draft.write_text("half")
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), replacing(path, exclusive=exclusive):
        raise ZeroDivisionError  # before there is a draft
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_have_two_drafts(tmp_path: Path) -> None:
    """Breaks when the name of the draft is fixed: the file would be a mixture of both."""
    path = tmp_path / "file"
    with replacing(path) as one, replacing(path) as two:
        assert one != two
        one.write_text("one")
        two.write_text("two")
    assert path.read_text() == "one"
    with replacing(path, draft=tmp_path / "named.part") as draft:
        assert draft == tmp_path / "named.part"
        draft.touch()
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_file_is_not_replaced_exclusively_and_keeps_the_mode_of_its_draft(tmp_path: Path) -> None:
    """Breaks when the draft is renamed: the second process would replace the secret that the first has read."""
    path = tmp_path / "file"
    with replacing(path, exclusive=True) as draft:
        draft.touch(mode=0o600)
        draft.write_text("first")
    with pytest.raises(FileExistsError), replacing(path, exclusive=True) as draft:
        draft.write_text("second")
    assert path.read_text() == "first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_durable_file_is_synchronized_before_the_rename_and_its_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when either is left out: after a power failure the file is empty, or the old one."""
    path, synchronized = tmp_path / "file", []
    monkeypatch.setattr(os, "fsync", lambda file: synchronized.append((os.fstat(file).st_ino, path.exists())))
    with replacing(path, durable=True) as draft:
        draft.write_text("new")
    assert synchronized == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]
    with replacing(path) as draft:
        draft.write_text("newer")
    assert len(synchronized) == 2
