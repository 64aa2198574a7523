"""`manifests/scale-back.sh`, where others write to the Deployment at the same time, or into its labels."""

from pathlib import Path

import pytest

from queue_recovery.recovery.ports import SCALE_BACK_TO
from queue_recovery.workers.autoscaler_objects import PAUSED, PAUSED_BY
from queue_recovery.workers.snapshot import note_labels
from sandbox.api import Json
from tests import readme
from tests.keda import CRD, scaled_object
from tests.rollouts import CRD as ROLLOUTS
from tests.rollouts import define
from tests.workers.fleet import RUN, Fleet, manifest, note
from tests.workers.test_scale_back import traces

_NO_REPLICAS = {"letters": "x", "none": "", "leading-zero": "03", "above-int32": "2147483648", "above-int64": "9" * 20}

_SCALED_OBJECTS = "/apis/keda.sh/v1alpha1/namespaces/{}/scaledobjects"

_OVERTAKEN = """#!/bin/sh
# kubectl, whose first edit of managedFields meets another order than the one that was read.
case "$*" in *--type=json*)
  if mkdir {folder}/overtaken 2>/dev/null; then exit 1; fi
esac
exec {kubectl} "$@"
"""


async def test_nothing_of_the_operator_stays_on_a_deployment_that_others_write_to(fleet: Fleet, tmp_path: Path) -> None:
    await fleet.apply(manifest())
    await fleet.hold()
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(_OVERTAKEN.format(folder=tmp_path, kubectl=fleet.sandbox.kubectl_program))
    kubectl.chmod(0o700)

    code, output = await readme.run(
        f"sh manifests/scale-back.sh -n {fleet.namespace}", kubeconfig=fleet.sandbox.kubeconfig, kubectl=kubectl
    )

    assert (code, output) == (0, f"{fleet.namespace}/worker: scaled back to 2\n")
    assert (tmp_path / "overtaken").exists()
    deployment = await fleet.deployment()
    assert deployment["spec"]["replicas"] == 2
    assert traces(deployment) == []


async def test_the_list_of_the_readme_names_recovery_and_replicas(fleet: Fleet) -> None:
    await fleet.apply(manifest())
    await fleet.hold()

    code, output = await readme.run(
        readme.command("Uninstall", "kubectl get deployments").replace(" -A ", f" -n {fleet.namespace} "),
        kubeconfig=fleet.sandbox.kubeconfig,
        kubectl=fleet.sandbox.kubectl_program,
    )

    assert code == 0
    assert output.splitlines()[1].split()[-2:] == [note(2).name, "2"]


async def test_a_label_that_is_no_number_of_replicas_changes_nothing_and_is_named(fleet: Fleet) -> None:
    for name, replicas in _NO_REPLICAS.items():
        await fleet.apply(_held(name, replicas))

    code, output = await run_script(fleet)

    assert code == 1
    assert [line.partition(":")[0] for line in output.splitlines() if "is no number of replicas" in line] == sorted(
        f"{fleet.namespace}/{name}" for name in _NO_REPLICAS
    )
    for name, replicas in _NO_REPLICAS.items():
        deployment = await fleet.deployment(name)
        assert (name, deployment["spec"]["replicas"]) == (name, 0)
        assert deployment["metadata"]["labels"][SCALE_BACK_TO] == replicas


@pytest.mark.thorough
async def test_a_user_who_may_not_list_scaled_objects_scales_the_workers_back_and_is_told_of_the_rest(
    fleet: Fleet, tmp_path: Path
) -> None:
    await define(fleet.api, CRD, ROLLOUTS)  # the user may not list either kind
    for name, labels, annotations in (
        ("labelled", note_labels(note(1)), {}),
        ("annotated", {}, {PAUSED_BY: f"tts-wrong-shape/{RUN}"}),
        ("of-the-user", {}, {}),
    ):
        scaler = scaled_object(name, {PAUSED: "true", **annotations})
        scaler["metadata"]["labels"] = {key: value for key, value in labels.items() if key != SCALE_BACK_TO}
        await fleet.api.create(_SCALED_OBJECTS.format(fleet.namespace), scaler)
    await fleet.apply(_held("worker", "1"))
    await fleet.sandbox.kubectl(
        "create", "role", "scaler", f"-n={fleet.namespace}", "--verb=*", "--resource=deployments.apps,statefulsets.apps"
    )
    await fleet.sandbox.kubectl(
        "create", "rolebinding", "scaler", f"-n={fleet.namespace}", "--role=scaler", "--user=alice"
    )
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\nexec {fleet.sandbox.kubectl_program} --as=alice "$@"\n')
    kubectl.chmod(0o700)

    code, output = await readme.run(
        f"sh manifests/scale-back.sh -n {fleet.namespace}", kubeconfig=fleet.sandbox.kubeconfig, kubectl=kubectl
    )

    assert code == 1
    assert f"{fleet.namespace}/worker: scaled back to 1" in output.splitlines()
    assert "ScaledObjects cannot be listed, so KEDA may still be paused" in output
    assert (await fleet.deployment())["spec"]["replicas"] == 1

    code, output = await run_script(fleet)

    assert (code, sorted(output.splitlines())) == (
        0,
        [f"{fleet.namespace}/{name}: ScaledObject has its former pause back" for name in ("annotated", "labelled")],
    )
    found = await fleet.api.get(_SCALED_OBJECTS.format(fleet.namespace))
    marks = {one["metadata"]["name"]: one["metadata"].get("annotations", {}) for one in found["items"]}
    assert marks == {"annotated": {}, "labelled": {}, "of-the-user": {PAUSED: "true"}}


def _held(name: str, replicas: str) -> Json:
    """Return a Deployment that is scaled to 0, with that label."""
    deployment = manifest(name, replicas=0)
    deployment["metadata"]["labels"] = note_labels(note(1)) | {SCALE_BACK_TO: replicas}
    return deployment


async def run_script(fleet: Fleet) -> tuple[int, str]:
    """Run the script for the namespace; return its exit code and what it wrote."""
    return await readme.run(
        f"sh manifests/scale-back.sh -n {fleet.namespace}",
        kubeconfig=fleet.sandbox.kubeconfig,
        kubectl=fleet.sandbox.kubectl_program,
    )
