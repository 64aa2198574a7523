"""The canvas of messages, which is lost to the workers when the messages are taken."""

from pydantic import Field

from queue_recovery.api.base import Model


class Canvas(Model):
    """Chords, groups, chains and callbacks of the messages that would be taken.

    At most 5,000 messages are looked at, and of a list that is taken whole the first and the last 500.
    """

    looked_at: int = Field(
        ge=0, description="Messages that were read. Of a deep queue only some, so that the other counts are minimums."
    )
    unreadable: int = Field(
        0,
        ge=0,
        description="Messages whose body is not read, because it is not plain JSON or exceeds 256 KiB: their chains "
        "and callbacks are unknown, and members of chords count as members of groups.",
    )
    chords: int = Field(0, ge=0, description="Members of chords: the chord's body will never run.")
    groups: int = Field(0, ge=0, description="Members of other groups: the group's result stays incomplete.")
    chains: int = Field(0, ge=0, description="Messages that carry the rest of their chain: it will not run.")
    callbacks: int = Field(0, ge=0, description="Messages that carry callbacks or errbacks: they will not run.")
