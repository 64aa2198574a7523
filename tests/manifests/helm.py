"""Helm and kustomize as a user runs them, without a cluster."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sandbox.build import find_programs
from sandbox.helm import find_helm
from sandbox.processes import ROOT

CHART = ROOT / "manifests" / "helm"

Objects = dict[tuple[str, str, str], dict[str, Any]]
"""Kubernetes objects by kind, namespace and name."""


class HelmError(Exception):
    """Helm ended with an error; the text is what it wrote."""


def helm(*arguments: str, home: Path, kubeconfig: Path | None = None) -> str:
    """Run Helm in the repository's root and return what it wrote; it keeps its own files in `home`."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(kubeconfig or os.devnull)}
    done = subprocess.run(
        [find_helm(), *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise HelmError(done.stderr.strip())
    return done.stdout


def options(values: Mapping[str, object]) -> Iterator[str]:
    """Yield the command line's options for these values."""
    for name, value in values.items():
        yield from ("--set-json", f"{name}={json.dumps(value)}")


def by_name(text: str) -> Objects:
    """Return the objects of a text in YAML; each is in it once."""
    objects = [found for found in yaml.safe_load_all(text) if found]
    named = {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in objects}
    assert len(named) == len(objects)
    return named


def rendered(values: Mapping[str, object], home: Path, *more: str, namespace: str = "queue-recovery") -> Objects:
    """Return the chart's objects for these values."""
    text = helm("template", "queue-recovery", str(CHART), "-n", namespace, *options(values), *more, home=home)
    return by_name(text)


def kustomized(folder: str | Path) -> Objects:
    """Return the objects of a kustomize folder."""
    return by_name(_kustomize(folder))


@cache
def _kustomize(folder: str | Path) -> str:
    kubectl = find_programs().kubectl
    return subprocess.run([kubectl, "kustomize", folder], cwd=ROOT, capture_output=True, text=True, check=True).stdout
