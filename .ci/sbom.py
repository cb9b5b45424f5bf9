"""Write the package's list of parts (SBOM, CycloneDX 1.6): its dependencies and the weights that it carries."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
OUTPUT = ROOT / "edge_sam" / "bundles" / "sbom.cdx.json"
_BUNDLES = ROOT / "edge_sam" / "bundles"
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def sbom() -> dict[str, Any]:
    """Return the list. It has no time and no version of the package, so that it changes only with the parts."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    libraries = [_library(requirement) for requirement in project["dependencies"]]
    models = [_model(path) for path in sorted(_BUNDLES.glob("*/manifest.json"))]
    parts = [*libraries, *models]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": project["name"],
                "name": project["name"],
                "description": project["description"],
                "licenses": [{"license": {"id": project["license"]}}],
                "purl": f"pkg:pypi/{project['name']}",
            }
        },
        "components": parts,
        "dependencies": [{"ref": project["name"], "dependsOn": [part["bom-ref"] for part in parts]}],
    }


def _library(requirement: str) -> dict[str, Any]:
    """Return a dependency. The user's installation decides its version, so its range is a property."""
    found = _NAME.match(requirement)
    assert found is not None
    name = found[0]
    return {
        "type": "library",
        "bom-ref": f"pkg:pypi/{name}",
        "name": name,
        "purl": f"pkg:pypi/{name}",
        "properties": [{"name": "requirement", "value": requirement}],
    }


def _model(manifest: Path) -> dict[str, Any]:
    """Return a packaged bundle: its files with their hashes, and the checkpoint that it was made from."""
    facts = json.loads(manifest.read_bytes())
    source = facts["source"]
    licenses = [{"license": {"id": source["license"]}}]
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{facts['name']}",
        "name": facts["name"],
        "licenses": licenses,
        "externalReferences": [{"type": "website", "url": source["url"]}],
        "pedigree": {
            "ancestors": [
                {
                    "type": "machine-learning-model",
                    "bom-ref": f"checkpoint:{source['file']}",
                    "name": source["file"],
                    "hashes": [{"alg": "SHA-256", "content": source["sha256"]}],
                    "licenses": licenses,
                }
            ],
            "notes": f"Made by: {facts['made_by']['command']}",
        },
        "components": [
            {
                "type": "file",
                "bom-ref": f"model:{facts['name']}/{part['file']}",
                "name": part["file"],
                "hashes": [{"alg": "SHA-256", "content": part["sha256"]}],
            }
            for part in facts["components"]
        ],
    }


def main() -> None:
    """Write the list if it fits CycloneDX's schema."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = json.dumps(sbom(), indent=1, ensure_ascii=False) + "\n"
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SystemExit(f"the list is not CycloneDX: {error}")
    OUTPUT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
