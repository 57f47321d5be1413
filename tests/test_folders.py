"""Configured folders are created at startup, and a folder that is not writable is a clear error."""

from pathlib import Path

import pytest

from restwell._folders import checked_writes, ensure_writable
from restwell.errors import ConfigurationError


def test_a_missing_folder_is_created_with_its_parents_and_its_mode(tmp_path: Path) -> None:
    """Breaks when the test file is left behind."""
    folder = tmp_path / "var" / "run"
    for _ in range(2):
        ensure_writable(folder, "RUNTIME_DIR", mode=0o700)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("/dev/null/here", "Not a directory"),
        ("/dev/null", "File exists"),
        ("/proc/self", "No such file or directory"),
    ],
)
def test_a_folder_that_is_not_writable_is_one_line_with_the_setting(folder: str, reason: str) -> None:
    """Breaks when only the creation is checked: /proc/self exists, and takes no file."""
    with pytest.raises(ConfigurationError) as refused:
        ensure_writable(Path(folder), "FILES_DIR")
    assert refused.value.faults == [f"FILES_DIR: {folder} is not writable: {reason}; set FILES_DIR to a writable path"]


def test_another_error_is_not_reported_as_a_folder_that_is_not_writable(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a bug"), checked_writes(tmp_path, "FILES_DIR"):
        raise ValueError("a bug")
