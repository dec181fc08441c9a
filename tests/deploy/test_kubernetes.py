"""Build the folders in `deploy/kubernetes` with kustomize, and check what they would create."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.conftest import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
FOLDERS = ("servers", "generation/draw", "generation/write")
PARTS = 8
pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")


def built(folder: str) -> list[dict[str, Any]]:
    """Return the objects that a folder describes."""
    words = ["kubectl", "kustomize", str(KUBERNETES / folder)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return list(yaml.safe_load_all(done.stdout))


def pods(folder: str) -> dict[str, dict[str, Any]]:
    """Return the specifications of a folder's pods, by name of their owner."""
    return {
        found["metadata"]["name"]: found["spec"]["template"]["spec"]
        for found in built(folder)
        if "template" in found.get("spec", {})
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_all_objects_match_the_schemas_of_kubernetes(folder: str):
    for found in built(folder):
        kubernetes_validate.validate(found, "1.32", strict=True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_pod_has_rights_that_it_does_not_need(folder: str):
    for pod in pods(folder).values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"] is True
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


def test_the_servers_run_the_commands_of_compose():
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    found = pods("servers")
    for name in ("prefect", "mlflow", "worker"):
        assert found[name]["containers"][0]["args"] == services[name]["command"]
    for name in ("prefect", "mlflow"):
        script = services[name]["entrypoint"][2].replace("$$", "$")
        ours = found[name]["containers"][0]["command"][2]
        assert ours == script.replace("/run/secrets/", "/run/secrets/rnnlm/")


def test_both_jobs_get_the_same_request():
    draw, write = (pods(f"generation/{name}")[name]["containers"][0] for name in ("draw", "write"))
    assert draw["args"] == write["args"] != ["MODEL"]
    assert "--count" in draw["args"]


@pytest.mark.parametrize("index", [0, 6, 7])
def test_each_index_draws_its_own_part(tmp_path: Path, index: int):
    (job,) = built("generation/draw")
    container = job["spec"]["template"]["spec"]["containers"][0]
    (tmp_path / "rnnlm").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "rnnlm").chmod(0o755)
    environment = {each["name"]: each["value"] for each in container["env"]}
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    said = subprocess.run(
        [*container["command"], *container["args"]],
        env=environment | {"PATH": path, "JOB_COMPLETION_INDEX": str(index)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert said == [
        "generate", *container["args"], "--workers", "1", "--part", f"{index + 1}/{PARTS}"
    ]  # fmt: skip
    assert job["spec"]["completions"] == PARTS


def test_only_the_two_servers_reach_the_database():
    (policy,) = (
        found
        for found in built("servers")
        if found["kind"] == "NetworkPolicy" and found["metadata"]["name"] == "database"
    )
    (rule,) = policy["spec"]["ingress"]
    (source,) = rule["from"]
    assert source["podSelector"]["matchExpressions"][0]["values"] == ["prefect", "mlflow"]
    assert "egress" not in policy["spec"]
    assert "Egress" in policy["spec"]["policyTypes"]
