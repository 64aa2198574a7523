"""The producer: `python -m tts.submit ID=TEXT …` stores each text as a job and enqueues it."""

import sys
from collections.abc import Callable, Iterable

import database
from bson import ObjectId
from celery.utils import uuid

from tts.worker import render


def arguments(job_id: str, _text: str) -> list[object]:
    """Return the message's arguments: only the id, because the worker reads the rest from the document."""
    return [job_id]


def submit(jobs: Iterable[str], arguments: Callable[[str, str], list[object]]) -> None:
    """Store and enqueue jobs, each given as `ID=TEXT`."""
    for job in jobs:
        job_id, _, text = job.partition("=")
        task_id = uuid()
        database.app().jobs.insert_one({"_id": ObjectId(job_id), "text": text, "status": "pending", "task_id": task_id})
        render.apply_async(arguments(job_id, text), task_id=task_id)
        print(f"job {job_id} is task {task_id}")


if __name__ == "__main__":
    submit(sys.argv[1:], arguments)
