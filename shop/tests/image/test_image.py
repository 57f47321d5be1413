"""What the image has, and that it runs as production runs it: `make image` builds it and runs these."""

import json
import re
from typing import Any, Final

import pytest

from containers import IMAGE, READ_ONLY, USER, engine, inspect
from deploy_tools import sbom_errors
from servers import ROOT

pytestmark = pytest.mark.system

VOLUMES: Final = {"/data", "/tmp"}  # noqa: S108  # in the container
MAX_BYTES: Final = 250_000_000
UNWANTED: Final = ("sh", "bash", "cc", "gcc", "ld", "make", "pip", "pip3", "strip", "curl", "wget", "apt-get")


def python(code: str, *options: str) -> str:
    """The output of Python code in the image."""
    found = engine("run", "--rm", *READ_ONLY, "--entrypoint=python", IMAGE, *options, "-c", code, timeout=300)
    assert found.returncode == 0, found.stderr
    return found.stdout + (found.stderr if options else "")


@pytest.fixture(scope="module")
def config() -> Any:
    return inspect("image", IMAGE)["Config"]


def test_the_image_is_small() -> None:
    """Fails if debug symbols and source maps stay in it (260 MB), or a compiler (500 MB)."""
    assert inspect("image", IMAGE)["Size"] < MAX_BYTES


def test_the_image_names_its_user_its_command_and_what_is_written(config: Any) -> None:
    assert config["User"] == f"{USER}:{USER}"
    assert (config["Entrypoint"], config["Cmd"]) == (["restwell"], ["serve"])  # no shell between
    assert set(config["Volumes"]) == VOLUMES
    assert config["Labels"]["org.opencontainers.image.version"] == IMAGE.rpartition(":")[2]
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", config["Labels"]["org.opencontainers.image.revision"])
    assert not [name for name in config["Env"] if re.search(r"SECRET|PASSWORD|_URL=", name)]


def test_the_image_has_no_shell_no_compiler_and_no_pip() -> None:
    found = python(f"import shutil; print([name for name in {UNWANTED} if shutil.which(name)])")
    assert found == "[]\n"
    assert python("import importlib.util; print(importlib.util.find_spec('pip'))") == "None\n"


def test_only_the_volumes_can_be_written() -> None:
    """Fails if /app belongs to the user of the image: a flaw that writes files could replace the code."""
    code = """
import json, os
from pathlib import Path
writable = [str(folder) for folder in map(Path, ("/", "/app", "/app/shop", "/data", "/etc", "/tmp", "/usr"))
            if os.access(folder, os.W_OK)]
owned = [str(path) for path in Path("/app").rglob("*") if path.stat(follow_symlinks=False).st_uid != 0]
print(json.dumps([os.getuid(), writable, owned]))
"""
    assert json.loads(python(code)) == [USER, sorted(VOLUMES), []]
    found = engine("run", "--rm", "--entrypoint=python", IMAGE, "-c", "import os; print(os.access('/app', os.W_OK))")
    assert found.stdout == "False\n"  # also where the root is writable


def test_the_bill_of_materials_names_every_package_with_the_hash_of_the_lock_file() -> None:
    """Fails if a package is installed that is not in it, or its hash is not that of a locked file."""
    code = """
import json
from importlib.metadata import distributions
installed = sorted([each.name.lower().replace("_", "-"), each.version] for each in distributions())
print(json.dumps([installed, json.load(open("/app/sbom.cdx.json"))]))
"""
    installed, document = json.loads(python(code))
    assert document == json.loads((ROOT / "build/image/sbom.cdx.json").read_text())
    assert sbom_errors(json.dumps(document)) == []
    root, components = document["metadata"]["component"], document["components"]
    assert root["name"] == "restwell-shop"
    packages = [root, *(each for each in components if each["purl"].startswith("pkg:pypi/"))]
    assert sorted([each["name"], each["version"]] for each in packages) == installed
    locked = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", (ROOT / "requirements/image.txt").read_text()))
    for each in packages:
        assert each["hashes"][0]["content"] in locked or each["name"] in {"restwell", "restwell-shop"}
    assert sum("licenses" in each for each in packages) > len(packages) * 0.9
    debian = {each["name"] for each in components if each["purl"].startswith("pkg:deb/debian/")}
    assert {"libc6", "libpython3.13-stdlib"} <= debian
    assert len({each["bom-ref"] for each in components}) == len(components)


def test_a_start_compiles_no_module() -> None:
    """Fails if the byte code is missing or stale: each start then takes a second of the processor more."""
    found = python("import restwell._cli, shop.app", "-v")
    loaded = re.findall(r"code object from '?(/app/\S+?)'?$", found, re.MULTILINE)
    assert len(loaded) > 500
    assert [path for path in loaded if path.endswith(".py")] == []


def test_the_libraries_work_without_their_symbols() -> None:
    """Fails if `strip` breaks a library: images, PDF, passwords, signatures and SQL are done by compiled code."""
    code = """
import io, ssl
import apsw, asyncpg.protocol.protocol, argon2, hiredis, uvloop, yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image
from reportlab.pdfgen.canvas import Canvas
for kind in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "JPEG2000"):
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, kind)
    file.seek(0)
    assert Image.open(file).convert("L").resize((8, 8)).size == (8, 8), kind
canvas = Canvas(io.BytesIO())
canvas.drawString(9, 9, "text")
assert canvas.getpdfdata().startswith(b"%PDF")
assert argon2.PasswordHasher().verify(argon2.PasswordHasher().hash("x"), "x")
key = Ed25519PrivateKey.generate()
key.public_key().verify(key.sign(b"x"), b"x")
assert list(apsw.Connection(":memory:").execute("select sqlite_version()"))[0][0] >= "3.51.3"
assert ssl.create_default_context().get_ca_certs() and len(ssl.create_default_context().get_ca_certs()) > 50
print("done")
"""
    assert python(code) == "done\n"
