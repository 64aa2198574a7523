"""`manifests/scale-back.sh`, where others write to the Deployment at the same time, or into its annotation."""

from pathlib import Path

from sandbox.api import Json
from tests import readme
from tests.workers.fleet import Fleet, manifest
from tests.workers.test_scale_and_restore import NOTE, traces

_NO_REPLICAS = {
    "text": "x",
    "member": '"replicas": 3',
    "array": '[{"replicas": 3}]',
    "two-objects": '{"replicas": 3} {"replicas": 3}',
    "open-object": '{"replicas": 3',
    "second-line": '{"replicas": 3}\nx',
    "no-replicas": '{"uid": "u"}',
    "string": '{"replicas": "3"}',
    "fraction": '{"replicas": 2.5}',
    "exponent": '{"replicas": 3e1}',
    "negative": '{"replicas": -1}',
    "leading-zero": '{"replicas": 03}',
    "above-int32": '{"replicas": 2147483648}',
    "above-int64": '{"replicas": 99999999999999999999}',
    "in-a-string": '{"recovery": "{\\"replicas\\": 3}"}',
    "in-a-key": '{"a, \\"replicas": 3}',
}

_REPLICAS = {
    "compact": '{"replicas":1}',
    "spaced": ' { "replicas" : 1 } ',
    "with-others": '{"uid": "u", "recovery": "a/\\"b\\u00e9 é", "other": null, "replicas": 1, "more": -1.5e3}',
}

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

    assert (code, output) == (0, f"{fleet.namespace}/worker: 2 replicas again\n")
    assert (tmp_path / "overtaken").exists()
    deployment = await fleet.deployment()
    assert deployment["spec"]["replicas"] == 2
    assert traces(deployment) == []


async def test_lines_of_a_tenants_annotation_change_no_deployment_of_another_namespace(fleet: Fleet) -> None:
    await fleet.apply(manifest(replicas=1))
    async with fleet.sandbox.namespace() as other:
        victim = Fleet(sandbox=fleet.sandbox, namespace=other, api=fleet.api, workers=fleet.workers)
        await victim.apply(manifest("bank"))
        before = await victim.deployment("bank")
        # An empty resourceVersion lets a write pass whatever has changed since.
        lines = f'x\n{other} bank ","generateName":" 7 {{"replicas": 7}}'
        await fleet.kubectl("annotate", "deployment/worker", f"{NOTE}={lines}")

        code, output = await _run(fleet)

        after = await victim.deployment("bank")
        assert after["spec"] == before["spec"]
        assert after["metadata"].get("generateName") is None
    assert code == 1
    (line,) = output.splitlines()
    assert line.startswith(f"{fleet.namespace}/worker: ")
    assert "x\\n" in line


async def test_lines_of_a_tenants_annotation_are_not_listed_as_deployments(fleet: Fleet) -> None:
    await fleet.apply(manifest(replicas=1))
    await fleet.kubectl("annotate", "deployment/worker", f"{NOTE}=x\nother/bank: y")

    code, output = await readme.run(
        readme.command("Uninstall", "kubectl get deployments").replace(" -A ", f" -n {fleet.namespace} "),
        kubeconfig=fleet.sandbox.kubeconfig,
        kubectl=fleet.sandbox.kubectl_program,
    )

    assert (code, output) == (0, f'{fleet.namespace}/worker: "x\\nother/bank: y"\n')


async def test_an_annotation_that_is_no_object_with_whole_replicas_changes_nothing_and_is_named(fleet: Fleet) -> None:
    for name, note in _NO_REPLICAS.items():
        await fleet.apply(_annotated(name, note))

    code, output = await _run(fleet)

    assert code == 1
    assert sorted(line.partition(":")[0] for line in output.splitlines() if "says no replicas" in line) == sorted(
        f"{fleet.namespace}/{name}" for name in _NO_REPLICAS
    )
    for name, note in _NO_REPLICAS.items():
        deployment = await fleet.deployment(name)
        assert (name, deployment["spec"]["replicas"]) == (name, 0)
        assert deployment["metadata"]["annotations"][NOTE] == note


async def test_an_annotation_is_read_however_its_object_is_written(fleet: Fleet) -> None:
    for name, note in _REPLICAS.items():
        await fleet.apply(_annotated(name, note))

    code, output = await _run(fleet)

    assert code == 0, output
    for name in _REPLICAS:
        deployment = await fleet.deployment(name)
        assert (name, deployment["spec"]["replicas"]) == (name, 1)
        assert NOTE not in deployment["metadata"].get("annotations", {})


def _annotated(name: str, note: str) -> Json:
    """Return a Deployment that is scaled to 0, with that annotation."""
    deployment = manifest(name, replicas=0)
    deployment["metadata"]["annotations"] = {NOTE: note}
    return deployment


async def _run(fleet: Fleet) -> tuple[int, str]:
    """Run the script for the namespace; return its exit code and what it wrote."""
    return await readme.run(
        f"sh manifests/scale-back.sh -n {fleet.namespace}",
        kubeconfig=fleet.sandbox.kubeconfig,
        kubectl=fleet.sandbox.kubectl_program,
    )
