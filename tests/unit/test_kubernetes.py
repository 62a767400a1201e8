"""deploy/kubernetes: against the published schemas, and against the rest of the project."""

import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from autoscaler.policies import BOUNDS
from shared import streams

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
OLDEST, NEWEST = "1.31.0", "1.37.0"  # `sleep` before a stop came with 1.30
KEDA = {"ScaledObject", "TriggerAuthentication"}
WORKLOADS = {"Deployment", "StatefulSet", "Job"}

Resource = dict[str, Any]


def kustomization() -> Resource:
    found: Resource = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
    return found


def resources() -> list[Resource]:
    return [
        resource
        for name in kustomization()["resources"]
        for resource in yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8"))
    ]


def title(resource: Resource) -> str:
    return f"{resource['kind']}/{resource['metadata']['name']}"


EVERY = resources()
PODS = [each for each in EVERY if each["kind"] in WORKLOADS]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("resource", EVERY, ids=title)
def test_a_resource_fits_the_published_schema(resource: Resource, version: str):
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("the schemas, 100 MB, are a group of their own: make test-kubernetes")
    if resource["kind"] in KEDA:
        from cloudcoil.models.keda import v1alpha1

        getattr(v1alpha1, resource["kind"]).model_validate(resource)
        return
    import kubernetes_validate

    kubernetes_validate.validate(resource, version, strict=True)


def test_every_file_is_applied():
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}

    assert files == set(kustomization()["resources"])


def test_kustomize_renders_it(tmp_path: Path):
    command = next(
        (
            [path, *words]
            for name, words in (("kustomize", ["build"]), ("kubectl", ["kustomize"]))
            if (path := shutil.which(name))
        ),
        None,
    )
    if command is None:
        pytest.skip("kustomize or kubectl is needed to render it")
    shutil.copytree(FOLDER, tmp_path / "kubernetes", ignore=shutil.ignore_patterns("secrets"))
    script = str(ROOT / "deploy" / "make-secrets.sh")
    subprocess.run([script, str(tmp_path / "kubernetes" / "secrets")], check=True)

    done = subprocess.run(
        [*command, str(tmp_path / "kubernetes")], check=True, capture_output=True, text=True
    )

    rendered = list(yaml.safe_load_all(done.stdout))
    generated = len(kustomization()["configMapGenerator"] + kustomization()["secretGenerator"])
    assert len(rendered) == len(EVERY) + generated
    assert {each["metadata"].get("namespace") for each in rendered} == {None, "shortwire"}


@pytest.mark.parametrize("resource", PODS, ids=title)
def test_a_pod_is_without_privileges_and_within_limits(resource: Resource):
    pod = resource["spec"]["template"]["spec"]

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}


@pytest.mark.parametrize("resource", PODS, ids=title)
def test_a_pod_mounts_what_there_is(resource: Resource):
    pod = resource["spec"]["template"]["spec"]
    secrets = {each["name"]: each["files"] for each in kustomization()["secretGenerator"]}
    claims = [each["metadata"]["name"] for each in resource["spec"].get("volumeClaimTemplates", ())]

    volumes = {volume["name"]: volume for volume in pod["volumes"]}

    for volume in volumes.values():
        assert "secret" not in volume or volume["secret"]["secretName"] in secrets
    for container in pod["containers"]:
        mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        assert set(mounts) == {*volumes, *claims}
        readable = {
            f"{mounts[name]}/{Path(file).name}"
            for name, volume in volumes.items()
            if "secret" in volume
            for file in secrets[volume["secret"]["secretName"]]
        }
        wanted = {
            variable["value"]
            for variable in container.get("env", ())
            if variable["name"].endswith("_FILE")
        }
        assert wanted <= readable


def test_secrets_are_what_the_script_makes(tmp_path: Path):
    subprocess.run([str(ROOT / "deploy" / "make-secrets.sh"), str(tmp_path)], check=True)

    wanted = {file for each in kustomization()["secretGenerator"] for file in each["files"]}

    assert wanted <= {f"secrets/{path.name}" for path in tmp_path.iterdir()}


def test_replicas_have_the_bounds_of_our_autoscaler():
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]: (
            each["spec"].get("minReplicas", each["spec"].get("minReplicaCount")),
            each["spec"].get("maxReplicas", each["spec"].get("maxReplicaCount")),
        )
        for each in EVERY
        if each["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}
    }

    assert scaled == BOUNDS
    for each in PODS:  # or applying it again would undo the scaling
        if each["metadata"]["name"] in BOUNDS:
            assert "replicas" not in each["spec"]


def test_lag_is_asked_of_every_stream_of_clicks():
    (scaled,) = [each for each in EVERY if each["kind"] == "ScaledObject"]
    text = (FOLDER / "click-streams" / "kustomization.yaml").read_text(encoding="utf-8")
    component = yaml.safe_load(text)
    (patch,) = component["patches"]
    (given,) = component["configMapGenerator"][0]["literals"]

    (first,) = scaled["spec"]["triggers"]
    added = yaml.safe_load(patch["patch"])

    assert patch["target"] == {"kind": "ScaledObject", "name": scaled["metadata"]["name"]}
    assert [(each["op"], each["path"]) for each in added] == [("add", "/spec/triggers/-")] * 4
    assert first["metadata"].pop("stream") == streams.CLICKS
    names = [each["value"]["metadata"].pop("stream") for each in added]
    assert names == streams.click_streams(int(given.removeprefix("CLICK_STREAMS=")))
    assert [each["value"] for each in added] == [first] * 4


def test_policies_and_services_name_pods_that_there_are():
    pods = {each["metadata"]["name"] for each in PODS}
    named = {
        each["spec"]["podSelector"].get("matchLabels", {}).get("app")
        for each in EVERY
        if each["kind"] == "NetworkPolicy"
    } | {each["spec"]["selector"]["app"] for each in EVERY if each["kind"] == "Service"}

    assert named - {None} <= pods
    for each in PODS:
        labels = each["spec"]["template"]["metadata"]["labels"]
        assert labels == {"app": each["metadata"]["name"]}
        if each["kind"] != "Job":
            assert each["spec"]["selector"]["matchLabels"] == labels
