"""The worker: `celery -A tts.worker worker -Q tts`.

A job is a document in `jobs` with a `text` and a `status`: pending, done or failed (with the `error` beside it).
"""

import datetime as dt
import os
import re

import database
from bson import ObjectId
from celery import Celery, Task

RETRY_SECONDS = float(os.environ.get("TTS_RETRY_SECONDS", "3"))
SPOKEN_WORDS_PER_SECOND = 2.5

app = Celery("tts", broker=os.environ["REDIS_URL"])
app.conf.task_default_queue = "tts"
app.conf.task_ignore_result = True


@app.task(bind=True, name="tts.render", max_retries=None)
def render(self: Task, job_id: str, text: str | None = None) -> None:
    """Render a job's text.

    Args:
        self: the task, as Celery runs it.
        job_id: the job's document.
        text: the text, if the producer sends it; otherwise it is read from the document.
    """
    job = {"_id": ObjectId(job_id)}
    execution = begin(self, job)
    try:
        seconds = speak(database.app().jobs.find_one(job)["text"] if text is None else text)
    except Exception as error:
        database.app().jobs.update_one(job, {"$set": {"status": "failed", "error": f"{type(error).__name__}: {error}"}})
        end(execution, type(error).__name__)
        # In the hope that the next attempt succeeds.
        raise self.retry(exc=error, countdown=RETRY_SECONDS) from error
    database.app().jobs.update_one(job, {"$set": {"status": "done", "seconds": seconds}, "$unset": {"error": ""}})
    end(execution, "done")


def speak(text: str) -> float:
    """Return the length of the speech; this example reads the text, but renders no sound."""
    sentences = re.split(r"(?<=[.!?])\s+", text)
    return sum(len(sentence.split()) / SPOKEN_WORDS_PER_SECOND for sentence in sentences)


def begin(task: Task, job: dict[str, ObjectId]) -> ObjectId:
    """Record that a job is being executed, with the task id and the pod."""
    execution = {
        "job": job["_id"],
        "task_id": task.request.id,
        "pod": os.environ.get("POD_NAME"),
        "at": dt.datetime.now(dt.UTC),
    }
    return database.app().executions.insert_one(execution).inserted_id


def end(execution: ObjectId, outcome: str) -> None:
    """Record how an execution ended."""
    database.app().executions.update_one({"_id": execution}, {"$set": {"outcome": outcome}})
