"""The kustomize base, rendered as kustomize does, as far as this base needs it.

Strategic merge patches merge maps, merge lists of named items by name, and replace other lists. A
test compares the result with a kustomize on the PATH.
"""

import re
from pathlib import Path
from typing import Any

import yaml

BASE = Path(__file__).parents[2] / ".docker" / "kubernetes"
Resource = dict[str, Any]


def kustomization() -> dict[str, Any]:
    """Return the file that names all others."""
    found: dict[str, Any] = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    return found


def rendered() -> list[Resource]:
    """Return the patched resources, without generated maps and secrets."""
    resources = [
        resource
        for name in kustomization()["resources"]
        for resource in yaml.safe_load_all((BASE / name).read_text())
    ]
    for patch in kustomization()["patches"]:
        change = yaml.safe_load((BASE / patch["path"]).read_text())
        del change["metadata"]
        resources = [
            merged(one, change) if _is_meant(one, patch["target"]) else one for one in resources
        ]
    return resources


def _is_meant(resource: Resource, target: dict[str, str]) -> bool:
    name = target.get("name", ".*")
    return resource["kind"] == target["kind"] and bool(
        re.fullmatch(name, resource["metadata"]["name"])
    )


def merged(old: Any, new: Any) -> Any:
    """Merge a patch into a value."""
    if isinstance(old, dict) and isinstance(new, dict):
        both = {name: merged(old[name], new[name]) for name in old.keys() & new.keys()}
        return {**old, **new, **both}
    if isinstance(old, list) and all(isinstance(one, dict) and "name" in one for one in old):
        named = {one["name"]: one for one in old}
        for one in new:
            named[one["name"]] = merged(named.get(one["name"], {}), one)
        return list(named.values())
    return new
