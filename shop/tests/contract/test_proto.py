"""The schemas of gRPC: linted, generated code that is theirs, and no change that breaks clients."""

import shutil
import subprocess
from pathlib import Path

import pytest
from grpc_tools import protoc

from servers import ROOT

PROTO = ROOT / "shop/proto"
GENERATED = ROOT / "shop/src/shop/v1"


def buf(*arguments: str, folder: Path = PROTO) -> subprocess.CompletedProcess[str]:
    program = ROOT / ".venv/bin/buf"
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_the_generated_code_is_that_of_the_schemas(tmp_path: Path) -> None:
    """Fails if a schema is changed without ``make proto``."""
    files = [str(each.relative_to(PROTO)) for each in sorted(PROTO.rglob("*.proto"))]
    include = Path(protoc.__file__).parent / "_proto"
    options = ["--python_out", "--pyi_out", "--grpc_python_out"]
    arguments = ["protoc", f"-I{PROTO}", f"-I{include}", *(f"{each}={tmp_path}" for each in options)]
    assert protoc.main([*arguments, *files]) == 0
    made = {each.name: each.read_text() for each in (tmp_path / "shop/v1").iterdir()}
    kept = {each.name: each.read_text() for each in GENERATED.iterdir() if each.is_file()}
    assert made == kept, "run make proto"


@pytest.mark.slow
def test_the_schemas_are_formatted_and_without_faults() -> None:
    for arguments in (("lint",), ("format", "--diff", "--exit-code")):
        found = buf(*arguments)
        assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("string category = 4;", "string category = 44;", 'Previously present field "4"'),
        ("int32 stock = 7;", "string stock = 7;", "changed type"),
        ("rpc GetProduct(", "rpc ReadProduct(", 'Previously present RPC "GetProduct"'),
    ],
)
def test_a_change_that_breaks_clients_is_found(tmp_path: Path, before: str, after: str, words: str) -> None:
    """Fails if the comparison does not find it, as it must for the schemas of the last release."""
    changed = tmp_path / "proto"
    shutil.copytree(PROTO, changed)
    file = changed / "shop/v1/catalog.proto"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))
    found = buf("breaking", "--against", str(PROTO), folder=changed)
    assert found.returncode != 0
    assert words in found.stdout


def test_clients_of_the_last_release_still_work(tmp_path: Path) -> None:
    """Compares with the last tag that has schemas; without one there is nothing to break."""
    tag = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    listed = ["git", "archive", "--output", str(tmp_path / "proto.tar"), tag.stdout.strip(), "shop/proto"]
    if tag.returncode or subprocess.run(listed, cwd=ROOT, capture_output=True, check=False).returncode:
        return
    shutil.unpack_archive(tmp_path / "proto.tar", tmp_path)
    found = buf("breaking", "--against", str(tmp_path / "shop/proto"))
    assert found.returncode == 0, found.stdout
