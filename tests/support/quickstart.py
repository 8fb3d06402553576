"""The quickstart's files with the addresses of a real place put in, by the kustomize that kubectl has built in."""

import os
from pathlib import Path
from typing import Any

import yaml

FILES = Path(__file__).parents[2] / "examples" / "quickstart"


def overlay(folder: Path, *, vault_address: str, vault_ca: str, token_url: str) -> Path:
    """Write a kustomization to apply with `kubectl apply -k`; the files themselves stay as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    store = {"vault": {"address": vault_address, "caBundle": vault_ca}}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        # kustomize takes no absolute paths.
        "resources": [os.path.relpath(FILES.resolve(), folder.resolve())],
        "patches": [
            _patch("CredentialStore", "team-vault", store),
            _patch("Connection", "crm", {"parameters": {"token_url": token_url}}),
        ],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return folder


def _patch(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    change = {"apiVersion": "lanyard.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return {"target": {"kind": kind, "name": name}, "patch": yaml.safe_dump(change)}
