"""Print the bill of materials (CycloneDX) of an image: its wheels with their hashes, and its Debian packages.

python3 sbom.py WHEELS ROOT: the folder of the wheels that are installed, and the root of the base image.
"""

import hashlib
import json
import sys
import zipfile
from collections.abc import Iterator
from email import message_from_string
from email.message import Message
from pathlib import Path
from urllib.parse import quote

Component = dict[str, object]


def python_packages(wheels: Path) -> Iterator[Component]:
    """The packages in the wheels."""
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            [metadata] = [
                name for name in archive.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1
            ]
            package = message_from_string(archive.read(metadata).decode())
        name, version = package["Name"].lower().replace("_", "-"), package["Version"]
        yield {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{version}",
            "purl": f"pkg:pypi/{name}@{version}",
            "name": name,
            "version": version,
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}],
            **licenses(package),
        }


def licenses(package: Message) -> Component:
    """The licence that the package declares: an SPDX expression, or a text of its own."""
    if expression := package["License-Expression"]:
        return {"licenses": [{"expression": expression}]}
    text = (package["License"] or "").partition("\n")[0]
    classified = [
        line.rpartition(" :: ")[2] for line in package.get_all("Classifier", []) if line.startswith("License")
    ]
    names = classified or [text] * bool(text)
    return {"licenses": [{"license": {"name": name}} for name in names]} if names else {}


def debian_packages(root: Path) -> Iterator[Component]:
    """The packages of the base image, from dpkg's file or from one file for each package, as distroless images have."""
    dpkg = root / "var/lib/dpkg"
    files = [dpkg / "status", *sorted(dpkg.glob("status.d/*"))]
    for paragraph in "\n\n".join(file.read_text() for file in files if file.is_file()).split("\n\n"):
        package = message_from_string(paragraph.strip())
        if package["Package"] and package["Version"]:
            name, version = (quote(package[field], safe=":") for field in ("Package", "Version"))
            purl = f"pkg:deb/debian/{name}@{version}?arch={package['Architecture']}"
            yield {
                "type": "library",
                "bom-ref": purl,
                "purl": purl,
                "name": package["Package"],
                "version": package["Version"],
            }


if __name__ == "__main__":
    components = {str(each["bom-ref"]): each for each in python_packages(Path(sys.argv[1]))}
    components |= {str(each["bom-ref"]): each for each in debian_packages(Path(sys.argv[2]))}
    shop = components.pop(next(ref for ref in components if ref.startswith("pkg:pypi/restwell-shop@")))
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**shop, "type": "application"}},
        "components": list(components.values()),
    }
    json.dump(document, sys.stdout, indent=1)
