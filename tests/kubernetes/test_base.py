"""The kustomize base is valid, and runs the same services as docker-compose.yml."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.kubernetes.rendering import BASE, Resource, kustomization, rendered

ROOT = BASE.parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
RESOURCES = rendered()
DEPLOYMENTS = {
    one["metadata"]["name"]: one["spec"] for one in RESOURCES if one["kind"] == "Deployment"
}
# The operator provides these.
BROUGHT = {"postgres", "redis"}
WEB = {"web", "api"}
# The oldest version with all used features, and the newest that the package knows.
VERSIONS = ("1.27", kubernetes_validate.latest_version())


def pod(name: str) -> dict[str, Any]:
    found: dict[str, Any] = DEPLOYMENTS[name]["template"]["spec"]
    return found


def container(name: str) -> dict[str, Any]:
    (only,) = pod(name)["containers"]
    found: dict[str, Any] = only
    return found


def environment(of: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in of["env"]}


def composed(name: str) -> dict[str, Any]:
    found: dict[str, Any] = COMPOSE["services"][name]
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "resource", RESOURCES, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}"
)
def test_kubernetes_knows_every_word(resource: Resource, version: str) -> None:
    kubernetes_validate.validate(resource, version, strict=True)


def test_an_unknown_word_would_be_noticed() -> None:
    wrong = {**RESOURCES[0], "spec": {**RESOURCES[0]["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_the_services_are_those_of_compose() -> None:
    assert DEPLOYMENTS.keys() == COMPOSE["services"].keys() - BROUGHT - {"migrate"}
    services = {one["metadata"]["name"] for one in RESOURCES if one["kind"] == "Service"}
    assert services == WEB
    for name, spec in DEPLOYMENTS.items():
        labels = spec["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"] == labels
        assert labels["service"] == name


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_service_runs_what_it_runs_with_compose(name: str) -> None:
    theirs = [
        re.sub(r"\$\{\w+:-(\w+)\}", r"\1", word) for word in composed(name).get("command", [])
    ]
    # Beat keeps nothing for its next start.
    theirs = [re.sub(r"^--schedule=.*", "--schedule=/tmp/schedule", word) for word in theirs]
    assert container(name).get("args", []) == theirs
    assert container(name)["image"] == composed(name)["image"]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_settings_and_secrets_are_those_of_compose(name: str) -> None:
    wanted = composed(name)["environment"]
    for part in (container(name), *pod(name)["initContainers"]):
        given = environment(part)
        assert {key for key in wanted if key.endswith("_FILE")} == {
            key for key in given if key.endswith("_FILE")
        }
        assert given == {key: wanted[key].split(":-")[-1].rstrip("}") for key in given}
        assert part["envFrom"] == [{"configMapRef": {"name": "portal-config"}}]
    (mounted,) = [one["secret"] for one in pod(name)["volumes"] if "secret" in one]
    (generated,) = kustomization()["secretGenerator"]
    assert mounted["secretName"] == generated["name"]
    assert [Path(file).name for file in generated["files"]] == composed(name)["secrets"]


def test_the_operators_settings_are_known() -> None:
    lines = (BASE / "config.env").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line[0] != "#")
    assert given.keys() <= COMPOSE["x-portal"]["environment"].keys()
    assert {"ALLOWED_HOSTS", "API_URL", "SNAPSHOT_STORAGE"} <= given.keys()


def test_the_secrets_are_made(tmp_path: Path) -> None:
    (generated,) = kustomization()["secretGenerator"]
    make = [ROOT / ".docker" / "make-secrets.sh", tmp_path / "secrets"]
    subprocess.run(make, check=True, capture_output=True)
    assert all((tmp_path / file).is_file() for file in generated["files"])
    ignored = subprocess.run(
        ["git", "check-ignore", *(f".docker/kubernetes/{file}" for file in generated["files"])],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert len(ignored.stdout.splitlines()) == len(generated["files"])


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_probes_ask_what_compose_asks(name: str) -> None:
    probes = [container(name)["livenessProbe"], container(name)["startupProbe"]]
    if name in WEB:
        probes.append(container(name)["readinessProbe"])
        script = (ROOT / ".docker" / "answers.sh").read_text()
        for probe in probes:
            assert f"GET {probe['httpGet']['path']} HTTP" in script
            assert probe["httpGet"]["port"] == "http"
        return
    (check,) = composed(name)["healthcheck"]["test"][1:]
    liveness, startup = (probe["exec"]["command"] for probe in probes)
    assert startup == ["sh", "-c", check]
    # Kubernetes waits for longer, because it kills the pod; compose only reports it.
    assert liveness == ["sh", "-c", check.replace("-mmin -2", "-mmin -10")]
    assert environment(container(name))["LIVENESS_PATH"] in check


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_no_container_has_rights(name: str) -> None:
    user = re.search(r"useradd --system --uid (\d+)", (ROOT / ".docker/Dockerfile").read_text())
    assert user
    security = pod(name)["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] == int(user[1])
    assert pod(name)["automountServiceAccountToken"] is False
    for part in (container(name), *pod(name)["initContainers"]):
        assert part["securityContext"] == {
            "readOnlyRootFilesystem": composed(name)["read_only"],
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": composed(name)["cap_drop"]},
        }
    (memory,) = [one["emptyDir"] for one in pod(name)["volumes"] if "emptyDir" in one]
    assert [mount.split("=")[1] for mount in composed(name)["tmpfs"]] == ["512m"]
    assert memory == {"medium": "Memory", "sizeLimit": "512Mi"}


def test_there_is_one_beat_and_it_migrates_before_anything_starts() -> None:
    assert DEPLOYMENTS["beat"]["replicas"] == 1
    assert DEPLOYMENTS["beat"]["strategy"] == {"type": "Recreate"}
    for name in DEPLOYMENTS:
        (before,) = pod(name)["initContainers"]
        shell, option, command = before["command"]
        assert (shell, option) == ("sh", "-c")
        if name == "beat":
            assert before["command"] == composed("migrate")["command"]
        else:
            assert command == "until python manage.py migrate --check; do sleep 5; done"


def test_only_workers_are_scaled() -> None:
    scaled = [one["spec"] for one in RESOURCES if one["kind"] == "HorizontalPodAutoscaler"]
    assert [one["scaleTargetRef"]["name"] for one in scaled] == ["worker"]
    # A fixed count would undo the autoscaler's work at each apply.
    assert "replicas" not in DEPLOYMENTS["worker"]
    assert "cpu" in container("worker")["resources"]["requests"]
    assert composed("worker")["stop_grace_period"] == "5m"
    assert pod("worker")["terminationGracePeriodSeconds"] == 5 * 60


def test_every_file_of_the_base_is_named() -> None:
    named = kustomization()
    files = {*named["resources"], *(patch["path"] for patch in named["patches"])}
    assert {path.name for path in BASE.glob("*.yaml")} == {*files, "kustomization.yaml"}


def test_kustomize_renders_the_same(tmp_path: Path) -> None:
    kustomize = shutil.which("kustomize")
    if kustomize is None:
        pytest.skip("kustomize is not here")
    base = tmp_path / "kubernetes"
    shutil.copytree(BASE, base)
    make = [ROOT / ".docker" / "make-secrets.sh", base / "secrets"]
    subprocess.run(make, check=True, capture_output=True)
    done = subprocess.run([kustomize, "build", base], capture_output=True, text=True, check=True)
    found = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"]
        for one in yaml.safe_load_all(done.stdout)
        if one["kind"] == "Deployment"
    }
    # Names of generated maps end in a digest, and operators rename the image.
    text = re.sub(r"portal-(config|secrets)-\w+", r"portal-\1", json.dumps(found))
    text = text.replace("registry.example.com/backups-portal:latest", "backups-portal")
    assert {name: parts[0]["env"] for name, parts in json.loads(text).items()} == {
        name: container(name)["env"] for name in DEPLOYMENTS
    }
