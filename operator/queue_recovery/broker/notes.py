"""What a job looked like when nothing ran, as a run's field holds it: JSON, and null for a job without a document."""

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from queue_recovery.recovery.ports import SeenJob


class _Note(BaseModel):
    status: str | None
    task_id: str | None = Field(alias="taskId")
    recoverable: bool = True

    model_config = ConfigDict(strict=True, extra="forbid", populate_by_name=True)


_NOTE = TypeAdapter[_Note | None](_Note | None)


def note_of(seen: SeenJob | None) -> bytes:
    """Return the text."""
    note = None
    if seen is not None:
        note = _Note(status=seen.status, task_id=seen.task_id, recoverable=seen.recoverable)
    return _NOTE.dump_json(note, by_alias=True)


def read_note(text: bytes | str) -> SeenJob | None:
    """Read the text.

    Raises:
        ValueError: it is none; pydantic names what is wrong.
    """
    note = _NOTE.validate_json(text)
    if note is None:
        return None
    return SeenJob(status=note.status, task_id=note.task_id, recoverable=note.recoverable)
