"""The folder of a client has its files and what others put there, and nothing of an earlier client."""

from pathlib import Path

import pytest

from restwell._client._folder import MARK, write_files
from restwell.errors import ConfigurationError

FILE = f"# {MARK}\n"


def test_files_of_an_earlier_client_are_removed_and_those_of_others_stay(tmp_path: Path) -> None:
    """Breaks when every file that is not written is removed."""
    folder = tmp_path / "new" / "client"
    write_files(folder, {"old.py": FILE, "both.py": FILE})
    (folder / "mine.py").write_text("# mine\n")
    (folder / "more").mkdir()
    write_files(folder, {"both.py": FILE + "é = 1\n"})
    assert sorted(path.name for path in folder.iterdir()) == ["both.py", "mine.py", "more"]
    assert (folder / "both.py").read_bytes() == (FILE + "é = 1\n").encode()


def test_a_file_of_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    """Breaks when the first file is written before the second is refused."""
    (tmp_path / "errors.py").write_text("mine")
    with pytest.raises(ConfigurationError, match="not made by restwell client; move it, or"):
        write_files(tmp_path, {"client.py": FILE, "errors.py": FILE})
    assert [path.name for path in tmp_path.iterdir()] == ["errors.py"]
    assert (tmp_path / "errors.py").read_text() == "mine"


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "client").write_text("")
    with pytest.raises(ConfigurationError, match="client: File exists"):
        write_files(tmp_path / "client", {"client.py": FILE})
