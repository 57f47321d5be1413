"""What is published: the kit alone, whole, with what a stranger reads on its page."""

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bare_environments import UV, built
from servers import ROOT

OF_THE_PROJECT = ("CHANGELOG.md", "LICENSE", "README.md", ".gitignore", "hatch_build.py", "pyproject.toml")
"""The files beside the package that the source archive has."""


@pytest.fixture(scope="module")
def published() -> Path:
    return built()


def test_the_wheel_holds_the_kit_alone_and_all_of_it(published: Path) -> None:
    """Breaks with ``shop/src/shop`` among its packages, and if a file of the kit, as py.typed, is left out."""
    (wheel,) = published.glob("restwell-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if ".dist-info/" not in name} == set(files_of_the_kit())
    assert "restwell/py.typed" in names


def test_the_sdist_holds_the_kit_alone_and_no_tests(published: Path) -> None:
    """Breaks without ``only-include``: tests, bench and the shop are then in it."""
    (sdist,) = published.glob("restwell-*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names - {*OF_THE_PROJECT, "PKG-INFO"} == {f"src/{file}" for file in files_of_the_kit()}


def test_the_wheel_has_its_bill_of_materials(published: Path) -> None:
    """Fails if a requirement is missing in it, or if it has the version of another release."""
    (wheel,) = published.glob("restwell-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if "/sboms/" in name)
        found = json.loads(archive.read(name))
    metadata = metadata_of(published)
    assert name == f"restwell-{metadata['Version']}.dist-info/sboms/restwell.cdx.json"
    assert found["metadata"]["component"]["purl"] == f"pkg:pypi/restwell@{metadata['Version']}"
    scopes = {each["name"]: each["scope"] for each in found["components"]}
    required = {Requirement(one) for one in metadata.get_all("Requires-Dist", [])}
    assert scopes.keys() == {one.name for one in required} - {"restwell"}
    assert {name for name in scopes if scopes[name] == "required"} == {one.name for one in required if not one.marker}


def test_a_second_build_is_the_same_to_the_byte(published: Path, tmp_path: Path) -> None:
    """Fails if an archive has a time, a permission or a path of the machine that builds it."""
    sources = tmp_path / "another folder"
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src/restwell", sources / "src/restwell", ignore=without, copy_function=shutil.copyfile)
    for name in OF_THE_PROJECT:
        shutil.copyfile(ROOT / name, sources / name)
    (sources / "src/restwell/py.typed").chmod(0o600)
    options = ("--no-build-isolation", "--python", sys.executable, "--out-dir", str(tmp_path))
    subprocess.run([*UV, "build", *options, str(sources)], check=True, env={**os.environ, "TZ": "Asia/Tokyo"})
    for pattern in ("restwell-*.whl", "restwell-*.tar.gz"):
        (first,), (second,) = published.glob(pattern), tmp_path.glob(pattern)
        assert second.name == first.name
        assert second.read_bytes() == first.read_bytes(), pattern


def test_the_wheel_of_the_shop_holds_the_shop_with_its_migrations(published: Path) -> None:
    (wheel,) = published.glob("restwell_shop-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"shop"}
    assert any(name.startswith("shop/migrations/versions/0001") for name in names)


def test_the_page_of_the_project_says_what_it_is_and_where_it_runs(published: Path) -> None:
    metadata = metadata_of(published)
    classifiers = metadata.get_all("Classifier", [])
    assert {"Operating System :: POSIX :: Linux", "Operating System :: MacOS", "Typing :: Typed"} <= set(classifiers)
    assert not [one for one in classifiers if "Windows" in one or "OS Independent" in one]
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"


def test_every_extra_is_in_the_readme_and_in_all(published: Path) -> None:
    """Breaks with a new extra that ``all`` does not install, or that is not documented."""
    metadata = metadata_of(published)
    required: dict[str, set[str]] = {name: set() for name in metadata.get_all("Provides-Extra", [])}
    for requirement, extra in (one.split("; extra == ") for one in metadata.get_all("Requires-Dist", []) if ";" in one):
        required[extra.strip("'\"")].add(requirement)
    everything = required.pop("all")
    assert everything == set().union(*required.values())
    section = (ROOT / "README.md").read_text().partition("## Install")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z]+)` \|", section, re.MULTILINE)) == {*required, "all"}


def metadata_of(published: Path) -> Message:
    (wheel,) = published.glob("restwell-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        return email.message_from_bytes(archive.read(name))


def files_of_the_kit() -> Iterator[str]:
    for path in (ROOT / "src/restwell").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(ROOT / "src").as_posix()
