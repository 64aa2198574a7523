"""One container of a pod: its process, restarted by the restart policy."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sandbox import images
from sandbox.kubelet import environment
from sandbox.kubelet.probes import Health
from sandbox.processes import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sandbox.api import Api, Json

_FIRST_BACK_OFF: Final = 0.5
_LONGEST_BACK_OFF: Final = 10.0
_STABLE_SECONDS: Final = 10
_START_ERROR: Final = 128
_TOKEN_MOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path, not a secret


@dataclass(frozen=True)
class PodContext:
    """What the containers of one pod have in common."""

    api: Api
    pod: Json
    """The pod, with `status.podIP` filled in."""
    folder: Path
    """Their home folder, as long as the pod exists."""
    images: Path
    """The file with the image table, read at each start."""
    environment: Mapping[str, str]
    kubeconfig: Path | None
    """With a token of the pod's ServiceAccount, if any container gets one."""
    changed: Callable[[], None]
    """Called whenever a container's status changes."""


class Container:
    """A container from start to end, and its current status."""

    def __init__(self, spec: Json, context: PodContext, restart_policy: str) -> None:
        self.name: str = spec["name"]
        self.state = _waiting("ContainerCreating")
        self.finished = False
        """Whether `run` has returned and nothing of the container runs any more."""
        self._spec = spec
        self._context = context
        self._restart_policy = restart_policy
        self._last_state: Json = {}
        self._restarts = 0
        self._health: Health | None = None
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self._asked_to_end = False
        self._deadline = math.inf
        self._killer: asyncio.TimerHandle | None = None

    @property
    def ready(self) -> bool:
        return self._health is not None and self._health.ready

    @property
    def was_started(self) -> bool:
        """Whether it has ever had a process."""
        return self._process is not None

    @property
    def exit_code(self) -> int | None:
        """The exit code of its last process; None if it is running, or there was none."""
        code: int | None = self.state.get("terminated", {}).get("exitCode")
        return code

    def status(self) -> Json:
        """Return this container's entry of the pod's `containerStatuses`."""
        return {
            "name": self.name,
            "image": self._spec["image"],
            "imageID": images.image_id(self._spec["image"]) if self._process is not None else "",
            "containerID": self._id(),
            "state": self.state,
            "lastState": self._last_state,
            "restartCount": self._restarts,
            "started": self._health is not None and self._health.started,
            "ready": self.ready,
        }

    def log(self, *, previous: bool = False) -> Path:
        """Return the file with the output of the current process, or of the previous one."""
        return self._context.folder / f"{self.name}-{self._restarts - previous}.log"

    async def run(self) -> None:
        """Run the container until it ends without a restart or is stopped."""
        loop = asyncio.get_running_loop()
        pause = _FIRST_BACK_OFF
        while not self._stopping.is_set():
            began = loop.time()
            await self._run_once()
            if loop.time() - began > _STABLE_SECONDS:
                pause = _FIRST_BACK_OFF
            if self.exit_code is not None:
                if not self._restarts_after(self.exit_code):
                    break
                self._last_state = self.state
                self._become(_waiting("CrashLoopBackOff", f"back-off {pause:g}s restarting failed container"))
            if await _happens(self._stopping, within=pause):
                break
            pause = min(2 * pause, _LONGEST_BACK_OFF)
        self.finished = True
        self._context.changed()

    def stop(self, deadline: float) -> None:
        """Send SIGTERM to the process, kill it at the deadline, and do not restart it.

        Args:
            deadline: in the event loop's time; a second call can only bring it forward.
        """
        self._stopping.set()
        self._deadline = min(deadline, self._deadline)
        self._end_by(self._deadline)

    def _end_by(self, deadline: float) -> None:
        if self._process is None or self._process.exit_code is not None:
            return
        if not self._asked_to_end:
            # To the first process only, which ends its children or takes them with it. And once only: to
            # many programs a second SIGTERM means that they should drop everything.
            self._process.send(signal.SIGTERM)
            self._asked_to_end = True
        if self._killer is not None:
            self._killer.cancel()
        loop = asyncio.get_running_loop()
        self._killer = loop.call_at(deadline, self._process.send_to_group, signal.SIGKILL)

    def _restarts_after(self, code: int) -> bool:
        if self._stopping.is_set():
            return False
        return self._restart_policy == "Always" or (self._restart_policy == "OnFailure" and code != 0)

    async def _run_once(self) -> None:
        """Run a process until it ends; the state has the result."""
        image = images.find(images.read(self._context.images), self._spec["image"])
        if image is None:
            message = f'the sandbox has no image "{images.repository(self._spec["image"])}"'
            self._become(_waiting("ErrImagePull", message))
            return
        try:
            own = await environment.resolve(self._context.api, self._context.pod, self._spec)
        except environment.ConfigError as error:
            self._become(_waiting("CreateContainerConfigError", str(error)))
            return
        address = {"POD_IP": self._context.pod["status"]["podIP"]}
        of_image = {name: environment.expand(value, address) for name, value in image.environment.items()}
        variables = {**self._context.environment, **of_image, **self._access(), **own}
        command = [environment.expand(word, own) for word in image.command(self._spec)]
        if self._last_state:
            self._restarts += 1
        started_at = timestamp()
        try:
            process = await self._execute(command, variables, image.folder, self.log())
        except OSError as error:
            self._become(_terminated(_START_ERROR, "StartError", started_at, message=str(error)))
            return
        self._process = process
        self._asked_to_end = False
        await self._see_through(process, variables, image.folder, started_at)

    async def _execute(self, command: Sequence[str], variables: Mapping[str, str], folder: Path, log: Path) -> Process:
        if not command:
            raise FileNotFoundError("no command specified")
        program = shutil.which(command[0], path=variables["PATH"]) or command[0]
        return await Process.start(self.name, [program, *command[1:]], log=log, environment=variables, folder=folder)

    async def _see_through(self, process: Process, variables: Mapping[str, str], folder: Path, started_at: str) -> None:
        async def execute(command: Sequence[str]) -> int:
            log = self._context.folder / f"{self.name}-probes.log"
            probe = await self._execute(command, variables, folder, log)
            try:
                return await probe.wait()
            finally:
                await probe.kill()

        address = self._context.pod["status"]["podIP"]
        self._health = Health(self._spec, address, execute, self._context.changed)
        self._become({"running": {"startedAt": started_at}})
        if self._stopping.is_set():
            self._end_by(self._deadline)
        probing = asyncio.create_task(self._keep_healthy(self._health))
        code = await process.wait()
        # As in a container, the other processes end with the first one.
        await process.kill()
        probing.cancel()
        with suppress(asyncio.CancelledError):
            await probing
        if self._killer is not None:
            self._killer.cancel()
        self._health = None
        reason = "Error" if code else "Completed"
        self._become(_terminated(code if code >= 0 else 128 - code, reason, started_at, containerID=self._id()))

    async def _keep_healthy(self, health: Health) -> None:
        await health.observe()
        grace: int = self._context.pod["spec"]["terminationGracePeriodSeconds"]
        if not self._stopping.is_set():
            self._end_by(asyncio.get_running_loop().time() + grace)

    def _access(self) -> dict[str, str]:
        """The variables of the API server, if the API server gives this container a token."""
        mounts = {mount["mountPath"] for mount in self._spec.get("volumeMounts", ())}
        if self._context.kubeconfig is None or _TOKEN_MOUNT not in mounts:
            return {}
        return {"KUBECONFIG": str(self._context.kubeconfig)}

    def _become(self, state: Json) -> None:
        self.state = state
        self._context.changed()

    def _id(self) -> str:
        return "" if self._process is None else f"process://{self._process.pid}"


def wants_token(pod: Json) -> bool:
    """Tell whether the API server gives any of a pod's containers a ServiceAccount token."""
    containers = [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]
    return any(
        mount["mountPath"] == _TOKEN_MOUNT for container in containers for mount in container.get("volumeMounts", ())
    )


async def _happens(event: asyncio.Event, *, within: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await event.wait()
    return event.is_set()


def _waiting(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, "message": message}}


def _terminated(code: int, reason: str, started_at: str, **more: str) -> Json:
    ended = {"exitCode": code, "reason": reason, "startedAt": started_at, "finishedAt": timestamp()}
    return {"terminated": ended | more}


def timestamp() -> str:
    """Return the current time in the Kubernetes API's format."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
