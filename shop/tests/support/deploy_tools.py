"""The files of deploy/, and the tools that read them, which `make deploy-check` installs."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from servers import ROOT

DEPLOY: Final = ROOT / "deploy"
OVERLAYS: Final = sorted(path.name for path in (DEPLOY / "kubernetes/overlays").iterdir())
Resource = dict[str, Any]
SECRETS: Final = {
    "DATABASE_URL": "postgresql://shop:hunter2@postgres/shop?sslmode=verify-full&sslrootcert=system",
    "JWT_SECRET": "Wq3rT8-kZp0_bN5vXy7LmC2sHd9JfG4aQe6uRi1oPt",
    "SMTP_URL": "smtps://shop:hunter2@mail.example.com",
    "PAYMENTS_URL": "https://key@api.stripe.com",
    "REDIS_URL": "rediss://:hunter2@redis:6379/0",
    "JOBS_URL": "rediss://:hunter2@redis:6379/0",
}
"""Values of the settings that are secrets."""


def tool(name: str, *arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The result of a tool from the environment that runs the tests."""
    program = Path(sys.executable).with_name(name)
    return subprocess.run([program, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


@cache
def rendered(overlay: str) -> list[Resource]:
    """The resources of an overlay, as Kustomize builds them."""
    result = tool("kubectl", "kustomize", DEPLOY / "kubernetes/overlays" / overlay)
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


def one(overlay: str, kind: str, name: str = "") -> Resource:
    """The only resource of an overlay of that kind, and with that name if there is one."""
    (found,) = (each for each in rendered(overlay) if each["kind"] == kind and name in {"", each["metadata"]["name"]})
    return found


def sbom_errors(document: str) -> list[str]:
    """What the schema of CycloneDX 1.6 finds wrong."""
    errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(document, all_errors=True)
    return [str(error) for error in errors or ()]


def constant(module: str, name: str) -> float:
    """The value of a private constant of the kit."""
    source = (ROOT / "src/restwell" / module).read_text()
    (value,) = re.findall(rf"^{name}: Final = ([\d.]+)$", source, re.MULTILINE)
    return float(value)
