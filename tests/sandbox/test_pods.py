"""Pods behave in the sandbox as they do on a cluster."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.kubectl import KubectlError
from sandbox.processes import free_port, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.cluster import Sandbox

pytestmark = pytest.mark.thorough  # every test that starts a sandbox shows that it works

Json = dict[str, Any]

IMAGE = "registry.example/team/queue-recovery:1"


def python(script: str, **more: object) -> Json:
    """A container that runs a Python script."""
    return {"name": "main", "image": IMAGE, "command": ["python", "-c", script], **more}


def sleeping(before: str = "pass") -> str:
    return f"import signal; {before}; signal.pause()"


class Pods:
    """Pods of one namespace, through kubectl."""

    def __init__(self, sandbox: Sandbox, namespace: str) -> None:
        self.sandbox = sandbox
        self.namespace = namespace

    async def kubectl(self, *arguments: str, manifest: Json | None = None) -> str:
        document = None if manifest is None else json.dumps(manifest)
        return await self.sandbox.kubectl("-n", self.namespace, *arguments, input=document)

    async def create(self, name: str, main: Json, **spec: object) -> None:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [main], **spec}}
        await self.kubectl("apply", "-f", "-", manifest=pod)

    async def get(self, name: str) -> Json:
        found: Json = json.loads(await self.kubectl("get", "pod", name, "-o", "json"))
        return found

    async def becomes(self, name: str, what: str, condition: Callable[[Json, Json], bool]) -> Json:
        """Wait until a pod and its container have a status, and return the container's."""

        async def wanted() -> Json | None:
            pod = await self.get(name)
            status: Json = pod["status"].get("containerStatuses", [{"state": {}, "lastState": {}}])[0]
            return status if condition(pod, status) else None

        return await until(wanted, f"pod {name} to be {what}", of=self.sandbox.kubelet)

    async def ready(self, name: str) -> Json:
        return await self.becomes(name, "ready", lambda _, status: status.get("ready", False))

    async def says(self, name: str, text: str) -> str:
        """Wait until a pod's log contains a text, and return the log."""

        async def log() -> str | None:
            try:
                written = await self.kubectl("logs", name)
            except KubectlError:  # it is on no node yet
                return None
            return written if text in written else None

        return await until(log, f"{name} to write {text!r}", of=self.sandbox.kubelet)


@pytest.fixture
def pods(sandbox: Sandbox, namespace: str) -> Pods:
    return Pods(sandbox, namespace)


async def test_a_deployment_of_two_pods_rolls_out_and_kubectl_logs_shows_their_output(pods: Pods) -> None:
    labels = {"app": "hello"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [python(sleeping("print('hello')"))]}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "hello"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
    }
    await pods.kubectl("apply", "-f", "-", manifest=deployment)
    await pods.kubectl("rollout", "status", "deployment/hello", "--timeout=20s")

    names = (await pods.kubectl("get", "pods", "-l", "app=hello", "-o", "name")).split()
    assert [(await pods.says(name, "hello")) for name in names] == ["hello\n", "hello\n"]
    addresses = {(await pods.get(name.removeprefix("pod/")))["status"]["podIP"] for name in names}
    assert len(addresses) == 2


async def test_kubectl_logs_follows_a_container_until_its_end(pods: Pods) -> None:
    script = "import signal; signal.signal(signal.SIGUSR1, print); print('one'); signal.pause(); print('two')"
    await pods.create("talker", python(script), restartPolicy="Never")
    await pods.says("talker", "one")

    following = pods.kubectl("logs", "-f", "talker")
    await pods.sandbox.signal_container(pods.namespace, "talker", "main", signal.SIGUSR1)

    assert (await following).splitlines()[-1] == "two"
    assert await pods.kubectl("logs", "--tail=1", "talker") == "two\n"
    await pods.becomes("talker", "Succeeded", lambda pod, _: pod["status"]["phase"] == "Succeeded")


async def test_a_pod_that_ignores_sigterm_is_killed_after_its_grace_and_reported_terminated_before_it_is_gone(
    pods: Pods,
) -> None:
    script = sleeping("signal.signal(signal.SIGTERM, lambda *_: print('no', flush=True)); print('up', flush=True)")
    # A finalizer delays the deletion of the object, so that its last status can be read.
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stubborn", "finalizers": ["example.org/watched"]},
        "spec": {"containers": [python(f"{script}; signal.pause()")], "terminationGracePeriodSeconds": 1},
    }
    await pods.kubectl("apply", "-f", "-", manifest=pod)
    await pods.says("stubborn", "up")
    await pods.kubectl("delete", "pod", "stubborn", "--wait=false")

    status = await pods.becomes("stubborn", "terminated", lambda _, status: "terminated" in status["state"])

    assert status["state"]["terminated"]["exitCode"] == 128 + signal.SIGKILL
    await pods.kubectl("patch", "pod", "stubborn", "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    await pods.kubectl("wait", "--for=delete", "pod/stubborn", "--timeout=10s")


async def test_a_pod_deleted_by_force_is_gone_at_once_and_its_process_soon_after(pods: Pods) -> None:
    await pods.create("doomed", python(sleeping("signal.signal(signal.SIGTERM, signal.SIG_IGN)")))
    process = int((await pods.ready("doomed"))["containerID"].removeprefix("process://"))

    await pods.kubectl("delete", "pod", "doomed", "--grace-period=0", "--force")

    with pytest.raises(KubectlError, match="not found"):
        await pods.get("doomed")

    async def ended() -> bool:
        return not _exists(process)

    await until(ended, "the process of the deleted pod to end", of=pods.sandbox.kubelet)


async def test_an_unknown_image_is_err_image_pull(pods: Pods) -> None:
    await pods.create("stranger", {"name": "main", "image": "registry.example/unknown:1"})

    status = await pods.becomes("stranger", "refused", lambda _, status: "ErrImagePull" in str(status["state"]))

    assert "registry.example/unknown" in status["state"]["waiting"]["message"]


async def test_a_crashed_container_is_restarted_in_the_same_pod(pods: Pods) -> None:
    await pods.create("crasher", python(sleeping()))
    before = await pods.ready("crasher")

    await pods.sandbox.signal_container(pods.namespace, "crasher", "main", signal.SIGKILL)

    after = await pods.becomes("crasher", "back", lambda _, status: status["restartCount"] == 1 and status["ready"])
    assert after["lastState"]["terminated"]["exitCode"] == 128 + signal.SIGKILL
    assert after["containerID"] != before["containerID"]


async def test_a_container_gets_its_secrets_and_fields_and_no_variable_of_the_sandboxs_caller(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example")
    await pods.kubectl("create", "secret", "generic", "redis", "--from-literal=url=redis://secret")
    env = [
        {"name": "URL", "valueFrom": {"secretKeyRef": {"name": "redis", "key": "url"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "GREETING", "value": "$(URL) at $(IP), $$(URL)"},
    ]
    script = "import json, os, sys; print(json.dumps([*sys.argv[1:], dict(os.environ)]))"
    await pods.create("reader", python(script, env=env, args=["$(GREETING)"]), restartPolicy="Never")

    argument, environment = json.loads(await pods.says("reader", "GREETING"))

    address = (await pods.get("reader"))["status"]["podIP"]
    assert argument == environment["GREETING"] == f"redis://secret at {address}, $(URL)"
    assert "HTTPS_PROXY" not in environment


async def test_a_container_waits_for_a_secret_that_does_not_exist_yet(pods: Pods) -> None:
    env = [{"name": "URL", "valueFrom": {"secretKeyRef": {"name": "later", "key": "url"}}}]
    await pods.create("patient", python(sleeping(), env=env))
    await pods.becomes("patient", "waiting", lambda _, status: "CreateContainerConfigError" in str(status["state"]))

    await pods.kubectl("create", "secret", "generic", "later", "--from-literal=url=here")

    await pods.ready("patient")


async def test_a_pod_may_do_what_its_service_account_may_and_no_more(pods: Pods) -> None:
    await pods.kubectl("create", "serviceaccount", "looker")
    await pods.kubectl("create", "role", "look", "--verb=list", "--resource=pods")
    await pods.kubectl("create", "rolebinding", "look", "--role=look", f"--serviceaccount={pods.namespace}:looker")
    kubectl = pods.sandbox.kubectl_program
    script = f"import subprocess; [subprocess.run(['{kubectl}', 'get', kind]) for kind in ('pods', 'secrets')]"
    await pods.create("looker", python(script), serviceAccountName="looker", restartPolicy="Never")

    log = await pods.says("looker", "Forbidden")

    assert "looker " in log
    assert f'"system:serviceaccount:{pods.namespace}:looker" cannot list resource "secrets"' in log
    users = {(event["user"].get("username"), event["verb"]) for event in pods.sandbox.audit()}
    assert (f"system:serviceaccount:{pods.namespace}:looker", "list") in users


async def test_a_failing_readiness_probe_makes_a_pod_unready_and_a_failing_liveness_probe_restarts_it(
    pods: Pods,
) -> None:
    # A process that listens on all addresses of this machine takes a port from every pod, so this one is a free one.
    port = free_port()
    server = (
        "import http.server, os; from pathlib import Path\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(503 if Path(self.path[1:]).exists() else 200); self.end_headers()\n"
        "os.chdir(os.environ['HOME'])\n"
        "http.server.HTTPServer((os.environ['IP'], int(os.environ['PORT'])), Handler).serve_forever()\n"
    )
    probe = {"periodSeconds": 1, "failureThreshold": 1}
    exists = "import os, pathlib, sys; sys.exit(pathlib.Path(os.environ['HOME'], 'sick').exists())"
    main = python(
        server,
        env=[
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "PORT", "value": str(port)},
        ],
        ports=[{"name": "http", "containerPort": port}],
        readinessProbe={**probe, "httpGet": {"path": "/busy", "port": "http"}},
        livenessProbe={**probe, "exec": {"command": ["python", "-c", exists]}, "timeoutSeconds": 5},
    )
    await pods.create("server", main, terminationGracePeriodSeconds=1)
    await pods.ready("server")
    home = pods.sandbox.folder / "pods" / (await pods.get("server"))["metadata"]["uid"]

    (home / "busy").touch()
    await pods.becomes("server", "unready", lambda _, status: not status["ready"])

    (home / "busy").unlink()
    (home / "sick").touch()
    await pods.becomes("server", "restarted", lambda _, status: status["restartCount"] == 1)

    (home / "sick").unlink()
    await pods.ready("server")


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
