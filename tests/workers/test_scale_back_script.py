"""`manifests/scale-back.sh`, where others write to the Deployment at the same time."""

from pathlib import Path

from tests import readme
from tests.workers.fleet import Fleet, manifest
from tests.workers.test_scale_and_restore import traces

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
