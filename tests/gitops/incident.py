"""An application in Git whose queue is stuck: its workers, its target, its recovery."""

from dataclasses import dataclass

from sandbox.api import Json
from sandbox.processes import until
from tests.e2e.team import CELERY, IMAGE, Team, envelope, worker_deployment
from tests.gitops.repository import Repository

REPLICAS = 2


@dataclass
class Incident:
    """What is in Git, and what the workers have run."""

    team: Team
    repository: Repository
    deployment: Json
    poison: list[str]
    jobs: list[str]

    @classmethod
    async def stage(cls, team: Team, repository: Repository, *, replicas: int | None, image: str = IMAGE) -> "Incident":
        """Commit the application, without the recovery; None leaves `replicas` out. Its queue has two poisoned jobs."""
        poison = [f"poison-{n}" for n in range(2)]
        jobs = [await team.failed_job(task_id=task) for task in poison]
        for task, job in zip(poison, jobs, strict=True):
            await team.redis.lpush("work", envelope(task, args=(job, ["not", "text"])))
        deployment = worker_deployment(replicas=replicas, command=CELERY, image=image)
        incident = cls(team, repository, deployment, poison, jobs)
        incident.commit()
        return incident

    def commit(self, *recoveries: Json) -> None:
        """Commit the application with these recoveries."""
        target = {
            "apiVersion": "queuerecovery.dev/v1alpha1",
            "kind": "QueueTarget",
            "metadata": {"name": "team"},
            "spec": {
                "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
                "jobStore": {
                    "mongodb": {
                        "urlSecretRef": {"name": "mongo", "key": "url"},
                        "database": self.team.jobs.database.name,
                        "collection": self.team.jobs.name,
                    }
                },
                "queues": [
                    {
                        "name": "work",
                        "workers": [{"name": "worker"}],
                        "message": {"task": "work.run", "args": '["$(id)"]'},
                    }
                ],
            },
        }
        self.repository.commit(self.deployment, target, *recoveries)

    def recovery(self, **spec: object) -> Json:
        """Return the recovery of both jobs, named `stuck`."""
        return {
            "apiVersion": "queuerecovery.dev/v1alpha1",
            "kind": "QueueRecovery",
            "metadata": {"name": "stuck"},
            "spec": {
                "targetRef": {"name": "team"},
                "queue": "work",
                "jobs": [{"id": job} for job in self.jobs],
                **spec,
            },
        }

    async def is_stuck(self) -> None:
        """Wait until each poisoned job has failed once."""

        async def all_failed() -> bool:
            return all([await self.team.runs(job) for job in self.jobs])

        await until(all_failed, "every poisoned job to fail")

    async def ran_once(self) -> None:
        """Wait until each job has run as its new task; fail if one has run twice."""
        fresh = [(await self.team.job(job))["task_id"] for job in self.jobs]
        assert not {*fresh} & {*self.poison}

        async def all_ran() -> bool:
            return all([task in await self.team.runs(job) for task, job in zip(fresh, self.jobs, strict=True)])

        await until(all_ran, "every job to run as its new task")
        for task, job in zip(fresh, self.jobs, strict=True):
            new = [one for one in await self.team.runs(job) if one not in self.poison]
            assert new == [task]

    async def workers_are_back(self) -> None:
        """Wait until the workers have their replicas, and nothing of the recovery is on the Deployment."""
        await self.team.available("worker", REPLICAS)
        labels = (await self.team.get("Deployment", "worker"))["metadata"].get("labels", {})
        assert not [label for label in labels if "queuerecovery" in label]
