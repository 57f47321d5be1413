"""Puts a bill of materials into the wheel of the kit: ``.dist-info/sboms/restwell.cdx.json`` (PEP 770, CycloneDX)."""

import json
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROJECT = "restwell"


class BillOfMaterials(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        self._folder = TemporaryDirectory()
        core = self.metadata.core
        required = {each.name for each in core.dependencies_complex.values()}
        extras = {each.name for extra in core.optional_dependencies_complex.values() for each in extra.values()}
        found = document(self.metadata.version, core.license_expression, required, extras)
        file = Path(self._folder.name) / f"{PROJECT}.cdx.json"
        file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        if version == "standard":  # and no editable installation
            build_data["sbom_files"].append(str(file))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002  # of the interface
        self._folder.cleanup()


def document(version: str, license_id: str, required: Iterable[str], of_extras: Iterable[str]) -> dict[str, Any]:
    """The kit contains no code of others. What it needs has no version: pip chooses one when it installs the wheel."""
    kit = {"type": "library", "name": PROJECT, "version": version, "licenses": [{"license": {"id": license_id}}]}
    kit["bom-ref"] = kit["purl"] = f"pkg:pypi/{PROJECT}@{version}"
    needed = dict.fromkeys(of_extras, "optional") | dict.fromkeys(required, "required")
    components = [
        {"type": "library", "bom-ref": f"pkg:pypi/{name}", "purl": f"pkg:pypi/{name}", "name": name, "scope": scope}
        for name, scope in sorted(needed.items())
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": kit},
        "components": components,
        "dependencies": [{"ref": kit["bom-ref"], "dependsOn": [each["bom-ref"] for each in components]}],
    }
