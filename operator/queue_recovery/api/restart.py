"""How a recovery stops, starts or restarts the workers."""

from typing import Literal

from pydantic import Field

from queue_recovery.api.base import Model, with_rules
from queue_recovery.api.required_image import RequiredImage
from queue_recovery.api.worker_ref import workers_rules


class RestartSpec(Model):
    """How the workers are stopped and started."""

    strategy: Literal["Recreate", "Manual"] = Field(
        "Recreate",
        description="Recreate: the operator scales the workers to 0 and back. "
        "Manual: you scale them, and the operator waits for it.",
    )
    require_image: list[RequiredImage] | None = Field(
        None,
        min_length=1,
        max_length=20,
        description="The images with the fix. The recovery touches nothing until these workers have them, and "
        "enqueues no job while one of them has not, or while its rollout is not complete.",
    )
    annotate: bool = Field(
        default=False,
        description="With `purge.mode: None`: restart the workers before the jobs are enqueued, as `kubectl rollout "
        "restart` does, by the annotation `kubectl.kubernetes.io/restartedAt` of the pod template. For workers that "
        "run and consume nothing. Workers with 0 replicas are left alone.",
    )
    consumption_deadline_seconds: int = Field(
        60,
        ge=1,
        le=86400,
        description="With `annotate`: how long after the restart it may take until a message of the queue is consumed, "
        "or until a worker waits for messages of an empty queue. After that the recovery fails, and enqueues nothing.",
    )

    model_config = with_rules(
        [
            *workers_rules("requireImage", optional=True),
            {
                "rule": "!self.annotate || self.strategy == 'Recreate'",
                "fieldPath": ".annotate",
                "message": "with annotate the operator restarts the workers, with strategy Manual you do: remove one "
                "of them",
            },
            {
                "rule": "self.annotate || self.consumptionDeadlineSeconds == 60",
                "fieldPath": ".consumptionDeadlineSeconds",
                "message": "consumptionDeadlineSeconds is for workers that annotate restarts: remove it, or set "
                "annotate to true",
            },
        ]
    )
