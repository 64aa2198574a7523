"""Which image a worker must have before a recovery starts."""

from typing import Annotated

from pydantic import Field

from queue_recovery.api.base import ObjectName
from queue_recovery.api.worker_ref import WorkerRef

ImagePattern = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\s?\[\]]+$")]
"""An image as a pod template names it; `*` stands for any text."""


class RequiredImage(WorkerRef):
    """The image that one of the queue's workers must have."""

    container: ObjectName | None = Field(
        None, description="Name of the container. Left out: one of the worker's containers has to have the image."
    )
    image: ImagePattern = Field(
        description="The image as the worker's pod template names it; `*` stands for any text. A tag: "
        '`"registry.example.com/tts:1.4.2"`. A digest: `"*@sha256:4f5c..."`. A pattern: `"*/tts:1.4.*"`.'
    )

    @property
    def worker(self) -> WorkerRef:
        """The worker that must have the image."""
        return WorkerRef(api_version=self.api_version, kind=self.kind, name=self.name)
