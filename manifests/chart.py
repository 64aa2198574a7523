"""The Helm chart's templates and values schema, generated from the kustomize folders and the operator's settings.

`python -m manifests.chart manifests/helm` writes them; with `--check` it reports whether they are current. Written by
hand is only what is no copy: Chart.yaml, values.yaml, NOTES.txt and README.md.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from manifests.chart_changes import CHANGES, CONDITIONS, LABEL, LEFT_OUT, Changes
from manifests.chart_values import schema
from queue_recovery.api.generated import write_or_check

_MODULE: Final = "manifests.chart"
_ROOT: Final = Path(__file__).parents[1]


class ChartError(Exception):
    """A manifest is no longer what a change of this module expects."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A kustomize folder, and how the chart has its files."""

    path: str
    prefix: str = ""
    """Of the templates' names."""
    condition: str = ""


FOLDERS: Final = (
    Folder(path="crds", prefix="crd-", condition=".Values.crds.enabled"),
    Folder(path="manifests/operator"),
    Folder(path="manifests/admission", prefix="admission-", condition=".Values.admission.enabled"),
    Folder(path="manifests/monitoring", prefix="monitoring-", condition=".Values.monitoring.enabled"),
    Folder(path="manifests/network", prefix="network-", condition=".Values.networkPolicy.enabled"),
)
TENANT: Final = "manifests/namespaced/tenant"


def files(folder: str) -> Iterator[Path]:
    """Yield the files that a kustomization lists, also by another one."""
    kustomization = yaml.safe_load((_ROOT / folder / "kustomization.yaml").read_text())
    for name in kustomization["resources"]:
        path = (_ROOT / folder / name).resolve()
        if path.is_dir():
            yield from files(str(path.relative_to(_ROOT)))
        else:
            yield path


def documents(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the kind of each document of a file, and its text."""
    for text in re.split(r"^---\n", path.read_text(), flags=re.MULTILINE):
        yield yaml.safe_load(text)["kind"], text


def _changed(text: str, kind: str, changes: Changes) -> str:
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        if count != 1:
            raise ChartError(f"{kind}: {pattern!r} matches {count} times. Change it in manifests/chart_changes.py")
    return text


def _labelled(text: str) -> str:
    """Add the label that the kustomizations add, unless the object has it."""
    if re.search(rf"^metadata:\n(?:  .*\n)*?  labels:\n(?:    .*\n)*?{re.escape(LABEL)}", text, re.MULTILINE):
        return text
    if re.search(r"^  labels:\n", text, re.MULTILINE):
        return re.sub(r"^  labels:\n", rf"\g<0>{LABEL}", text, count=1, flags=re.MULTILINE)
    return re.sub(r"^  name: .*\n", rf"\g<0>  labels:\n{LABEL}", text, count=1, flags=re.MULTILINE)


def templated(kind: str, text: str) -> str:
    """Return an object as a template."""
    text = re.sub(r"\{\{|\}\}", r'{{ "\g<0>" }}', text)
    text = _changed(_labelled(text), kind, CHANGES.get(kind, ()))
    # Quoted: a namespace may be named 123, true or null.
    place = r"(^ +namespace: )queue-recovery(?=\s*$)"
    text = re.sub(place, r"\g<1>{{ .Release.Namespace | quote }}", text, flags=re.MULTILINE)
    return text.replace("system:serviceaccount:queue-recovery:", "system:serviceaccount:{{ .Release.Namespace }}:")


def _enclosed(control: str, text: str) -> str:
    return f"{{{{- {control} }}}}\n{text}{{{{- end }}}}\n" if control else text


def _header(source: str) -> str:
    return f"{{{{- /* Generated from {source} by `make generate`; do not edit. */ -}}}}\n"


def template(folder: Folder, path: Path) -> str:
    """Return the template of a file; empty if the chart has nothing of it."""
    body = "".join(
        _enclosed(f"if {CONDITIONS[kind]}" if kind in CONDITIONS else "", f"---\n{templated(kind, text)}")
        for kind, text in documents(path)
        if kind not in LEFT_OUT
    )
    source = path.relative_to(_ROOT).as_posix()
    return _header(source) + _enclosed(f"if {folder.condition}" if folder.condition else "", body) if body else ""


def tenants() -> str:
    """Return the template of what each namespace that the release names has."""
    objects = [
        re.sub(
            r"^  name: .*\n", r"\g<0>  namespace: {{ . | quote }}\n", templated(kind, text), count=1, flags=re.MULTILINE
        )
        for path in files(TENANT)
        for kind, text in documents(path)
    ]
    body = "".join(f"---\n{text}" for text in objects).replace(" .Release", " $.Release")  # `.` is the namespace here
    return _header(TENANT) + _enclosed("range .Values.namespaces", body)


def contents() -> dict[str, str]:
    """Return the text of each generated file of the chart, by its path there."""
    templates = {
        f"templates/{folder.prefix}{path.name}": text
        for folder in FOLDERS
        for path in files(folder.path)
        if (text := template(folder, path))
    }
    values = json.dumps(schema(), indent=2) + "\n"
    return {**templates, "templates/namespaces.yaml": tenants(), "values.schema.json": values}


if __name__ == "__main__":
    sys.exit(write_or_check(_MODULE, "Generate the Helm chart from the kustomize folders.", contents()))
