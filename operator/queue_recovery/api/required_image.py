"""Which image a worker's Deployment must have before a recovery starts."""

from typing import Annotated

from pydantic import Field

from queue_recovery.api.base import Model, ObjectName

ImagePattern = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\s?\[\]]+$")]
"""An image as a pod template names it; `*` stands for any text."""


class RequiredImage(Model):
    """The image that one Deployment must have."""

    deployment: ObjectName = Field(description="Name of the Deployment, one of the workers of the queue.")
    container: ObjectName | None = Field(
        None, description="Name of the container. Left out: one of the Deployment's containers has to have the image."
    )
    image: ImagePattern = Field(
        description="The image as the Deployment's pod template names it; `*` stands for any text. A tag: "
        '`"registry.example.com/tts:1.4.2"`. A digest: `"*@sha256:4f5c..."`. A pattern: `"*/tts:1.4.*"`.'
    )
