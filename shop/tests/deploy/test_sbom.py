"""The bills of materials of image and wheel are valid CycloneDX. `make image` tests the one of a real image."""

import json
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Final

from packageurl import PackageURL

from deploy_tools import DEPLOY, sbom_errors
from servers import ROOT

WHEELS: Final = {
    "restwell_shop": "License-Expression: MIT",
    "both": "License-Expression: Apache-2.0 OR MIT\nLicense: a text that the expression replaces",
    "old": "Classifier: License :: OSI Approved :: BSD License\nClassifier: License :: OSI Approved :: MIT License",
    "older": "License: MIT, as in the file\n LICENSE beside it",
    "none": "Summary: a package without a licence",
}
PACKAGES: Final = ("libc6", "2.41-12+deb13u1"), ("libstdc++6", "14.2.0-19"), ("tzdata", "1:2026a~rc1")


def test_the_bill_of_materials_of_the_wheel_is_valid() -> None:
    """Fails if a field is not of CycloneDX, or if what an extra and the core need is optional."""
    document_of = runpy.run_path(str(ROOT / "hatch_build.py"))["document"]
    found = document_of("1.2.3", "MIT", ["alembic", "redis"], ["pillow", "redis"])
    assert sbom_errors(json.dumps(found)) == []
    scopes = {each["name"]: each["scope"] for each in found["components"]}
    assert scopes == {"alembic": "required", "pillow": "optional", "redis": "required"}
    assert found["dependencies"][0]["dependsOn"] == ["pkg:pypi/alembic", "pkg:pypi/pillow", "pkg:pypi/redis"]


def document(folder: Path) -> dict[str, Any]:
    """The bill of materials of small wheels, and of a distroless image with one file for each package."""
    for name, fields in WHEELS.items():
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(
                f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{fields}"
            )
    packages = folder / "root/var/lib/dpkg/status.d"
    packages.mkdir(parents=True)
    for name, version in PACKAGES:
        (packages / name).write_text(f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n")
    command: list[str | Path] = [sys.executable, DEPLOY / "sbom.py", folder, folder / "root"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, Any] = json.loads(printed)
    return found


def test_the_bill_of_materials_is_valid(tmp_path: Path) -> None:
    """Fails if a component has an expression beside names of licences, or no name."""
    assert sbom_errors(json.dumps(document(tmp_path))) == []


def test_each_package_has_its_version_and_its_licence(tmp_path: Path) -> None:
    """Fails if the address of libstdc++6 is not encoded."""
    found = document(tmp_path)
    assert found["metadata"]["component"]["name"] == "restwell-shop"
    licenses = {each["name"]: each.get("licenses") for each in found["components"] if "pypi" in each["purl"]}
    assert licenses == {
        "both": [{"expression": "Apache-2.0 OR MIT"}],
        "old": [{"license": {"name": "BSD License"}}, {"license": {"name": "MIT License"}}],
        "older": [{"license": {"name": "MIT, as in the file"}}],
        "none": None,
    }
    assert {(each["name"], each["version"]) for each in found["components"] if "deb" in each["purl"]} == set(PACKAGES)
    for each in found["components"]:
        assert PackageURL.from_string(each["purl"]).to_string() == each["purl"], "not in its canonical form"
