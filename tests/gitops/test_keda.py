"""KEDA's real operator, scaling on the length of the queue that is recovered."""

import pytest

from sandbox.api import Json
from sandbox.processes import until
from tests.e2e.team import CELERY, Team, envelope
from tests.gitops.autoscaler import SCALED_OBJECTS, conditions, exists, scaled_object

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("keda")]

PAUSED = "autoscaling.keda.sh/paused"
_HPA = "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers/keda-hpa-{}"


class Scaler:
    """A ScaledObject, and the Deployment of its name."""

    def __init__(self, team: Team, name: str) -> None:
        """Name it."""
        self._team = team
        self._name = name
        self._path = f"{SCALED_OBJECTS.format(team.namespace)}/{name}"

    async def create(self, *, minimum: int = 0) -> None:
        """Create it, and wait until KEDA has made its HPA."""
        body = scaled_object(self._name, self._team.broker_url, minimum=minimum)
        await self._team.api.create(self._path.rpartition("/")[0], body)
        await until(self.has_hpa, f"the HPA of {self._name}")

    async def annotate(self, **annotations: str | None) -> None:
        """Set or remove its annotations of KEDA."""
        named = {f"autoscaling.keda.sh/{name.replace('_', '-')}": value for name, value in annotations.items()}
        await self._team.api.patch(self._path, {"metadata": {"annotations": named}})

    async def get(self) -> Json:
        """Return it."""
        return await self._team.api.get(self._path)

    async def has_hpa(self) -> bool:
        """Tell whether its HPA exists."""
        return await exists(self._team.api, _HPA.format(self._team.namespace, self._name))

    async def is_paused(self) -> bool:
        """Tell whether KEDA says that it is paused and has removed the HPA."""
        return conditions(await self.get()).get("Paused") == "True" and not await self.has_hpa()

    async def scaled_to(self, replicas: int) -> None:
        """Wait until its Deployment asks for so many replicas."""

        async def there() -> bool:
            return await self._team.replicas(self._name) == replicas

        await until(there, f"{self._name} to be scaled to {replicas}")

    async def scale(self, replicas: int) -> None:
        """Scale its Deployment, as a recovery does."""
        path = f"{self._team.path('Deployment')}/{self._name}"
        await self._team.api.patch(path, {"spec": {"replicas": replicas}})


async def test_keda_scales_a_worker_up_from_0_unless_it_is_paused_and_acts_again_when_the_pause_ends(
    team: Team,
) -> None:
    await team.redis.lpush("work", envelope("waiting"))
    paused, other = Scaler(team, "paused"), Scaler(team, "other")
    for each, name in ((paused, "paused"), (other, "other")):
        await team.workers(name, replicas=1)
        await each.create()
    await paused.annotate(paused="true")
    await until(paused.is_paused, "KEDA to pause")

    await paused.scale(0)
    await other.scale(0)
    await other.scaled_to(1)
    await other.scale(0)
    await other.scaled_to(1)

    assert await team.replicas("paused") == 0
    await paused.annotate(paused=None)
    await paused.scaled_to(1)
    await until(paused.has_hpa, "KEDA to create the HPA again")
    assert conditions(await paused.get())["Paused"] == "False"


async def test_keda_scales_nothing_during_a_recovery_of_the_queue_that_it_scales_on_and_goes_on_afterwards(
    team: Team,
) -> None:
    scaler = Scaler(team, "worker")
    await team.target()
    job = await team.failed_job(task_id="poison")
    await team.redis.lpush("work", envelope("poison", args=(job, ["not", "text"])))
    await team.workers(command=CELERY)
    await scaler.create(minimum=1)

    async def is_stuck() -> bool:
        return bool(await team.runs(job))

    await until(is_stuck, "the poisoned job to fail")
    await team.redis.lpush("work", envelope("busy", args=(10,), task="work.wait"))

    async def is_busy() -> bool:
        return not await team.redis.exists("work")

    await until(is_busy, "a worker to be busy for ten of KEDA's looks")
    await team.recovery(jobs=[{"id": job}])
    await team.waits("Draining")
    # KEDA's trigger is active; a worker that is not told to end yet may take some of these.
    await team.redis.lpush("work", *[envelope(f"waiting-{n}") for n in range(50)])
    status = await team.reached("Succeeded")

    assert 1 < status["messages"]["quarantined"] == status["messages"]["found"] <= 51
    assert "WorkerChanged" not in await team.events()
    await team.available()
    await until(scaler.has_hpa, "KEDA to create the HPA again")
    found = await scaler.get()
    assert conditions(found)["Paused"] == "False"
    assert PAUSED not in found["metadata"].get("annotations", {})

    fresh = (await team.job(job))["task_id"]

    async def new_runs() -> list[str]:
        return [one for one in await team.runs(job) if one != "poison"]

    assert await until(new_runs, "the job to run as its new task") == [fresh]
