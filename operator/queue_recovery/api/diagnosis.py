"""Diagnosis: what a target says of errors and where results are, and what a plan says of why jobs fail."""

from typing import Annotated, Final, Literal

from pydantic import Field

from queue_recovery.api.base import Model, SecretKeyRef, ShownName, Timestamp, is_empty, with_rules
from queue_recovery.api.servers import BrokerTLS
from queue_recovery.api.stuck import StuckSpec

RuleVerdict = Literal["Transient", "Deterministic", "Unknown"]
"""What a rule may say of an error."""

Verdict = Literal["Transient", "Deterministic", "Mixed", "Unknown"]

MOST_RULES: Final = 20
"""Rules of a target: each may be tried on each error."""

LONGEST_PATTERN: Final = 100
"""Characters of a regular expression; without counted repetitions it compiles to a few kilobytes."""

MOST_ERRORS: Final = 10
"""Errors that a status lists."""

MOST_JOBS: Final = 5
"""Jobs, and hosts of workers, that a status names."""

LONGEST_EXCEPTION: Final = 120

ExceptionPath = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_EXCEPTION,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
    ),
]
"""Full name of an exception's class, such as `requests.exceptions.ConnectionError`; Python's own without a module."""

MessagePattern = Annotated[
    str,
    Field(min_length=1, max_length=LONGEST_PATTERN, pattern=r"^([^\\{}\x00-\x1f]|\\[^A-Za-z0-9{}\x00-\x1f])+$"),
]
"""A regular expression in the syntax of Rust's crate `regex`, whose search takes linear time.

Counted repetitions and classes such as `\\w` are left out: a hundred characters of them compile to megabytes.
"""


class DiagnosisRule(Model):
    """What the target says of some errors."""

    exception: ExceptionPath | None = Field(
        None,
        description="The error is of this class, named by its full path, such as `requests.exceptions.Timeout`, or of "
        "one that is known to be derived from it; Python's own without a module, such as `OSError`.",
    )
    message: MessagePattern | None = Field(
        None,
        description="A regular expression, without `{`, `}` and without classes such as `\\d` (write `[0-9]`), that "
        "matches a part of the error's message. Only the first 1,000 characters are looked at, in one line.",
    )
    verdict: RuleVerdict = Field(
        description="Transient: a retry helps. Deterministic: no retry helps. Unknown: neither is certain."
    )

    model_config = with_rules(
        [
            {
                "rule": "has(self.exception) || has(self.message)",
                "message": "a rule has exception, message, or both",
            },
            {
                # An expression that does not compile is an error of the rule's evaluation, which `||` would hide.
                "rule": "!has(self.message) || (''.matches(self.message) ? true : true)",
                "message": "not a regular expression",
            },
        ]
    )


class ResultsSpec(Model):
    """The Redis server of Celery's results."""

    url_secret_ref: SecretKeyRef | None = Field(
        None,
        description="Secret with the whole URL of `result_backend`: redis:// or rediss://. Without it, the results are "
        "in the broker's database.",
    )
    tls: BrokerTLS | None = Field(None, description="Certificates for a rediss:// URL; only with `urlSecretRef`.")
    global_key_prefix: str = Field(
        "",
        max_length=100,
        description="`global_keyprefix` of the application's `result_backend_transport_options`, as it is written "
        "there.",
    )

    model_config = with_rules(
        [
            {
                "rule": "!has(self.tls) || has(self.urlSecretRef)",
                "fieldPath": ".tls",
                "message": "tls is for the server of urlSecretRef; without that, the broker's is used",
            }
        ]
    )


class DiagnosisSpec(Model):
    """How the operator finds out why jobs fail, and whether a queue is stuck."""

    rules: list[DiagnosisRule] = Field(
        [],
        max_length=MOST_RULES,
        description="Rules of your own. The first one that matches an error decides; the built-in rules come after "
        "them.",
    )
    results: ResultsSpec | None = Field(
        None,
        description="Where Celery's results are, if they are in Redis; `{}`: in the broker's database. Without it no "
        "result is read. They are read by task id, never written, and a pickle is never loaded.",
    )
    stuck: StuckSpec = Field(
        StuckSpec(), description="Thresholds from which a queue is stuck; 0: off. See docs/stuck.md."
    )


class ErrorSignature(Model):
    """Failures of one task with the same exception and message, apart from quoted text, numbers, ids and paths."""

    task: ShownName | None = Field(None, description="Name of the task; left out where it is not known.")
    exception: Annotated[str, Field(max_length=LONGEST_EXCEPTION)] | None = Field(
        None, description="The exception's class; left out where it is not known, or does not look like one."
    )
    fingerprint: str = Field(
        max_length=8, description="Tells errors with the same exception apart. The message itself is never shown."
    )
    verdict: Verdict = Field(description="Whether a retry helps.")
    rule: str = Field(max_length=200, description="The rule that decided; see docs/diagnosis-rules.md.")
    attempts: int = Field(ge=0, description="Attempts that failed like this, as far as they are known.")
    jobs: int = Field(ge=0, description="Jobs and messages that failed like this.")
    identical: int = Field(0, ge=0, description="How many of these have the very same message.")
    succeeded: int = Field(
        0, ge=0, exclude_if=is_empty, description="How many of these jobs succeeded at a later attempt."
    )
    first_seen_time: Timestamp | None = Field(None, description="When the first of them failed, where that is known.")
    last_seen_time: Timestamp | None = Field(None, description="When the last of them failed, where that is known.")
    examples: list[ShownName] = Field(
        [], max_length=MOST_JOBS, exclude_if=is_empty, description="Some of them: ids of jobs, or of Celery tasks."
    )


class WorkerEnds(Model):
    """How containers of the workers' pods have ended."""

    restarts: int = Field(0, ge=0, description="Restarts of all containers.")
    out_of_memory: int = Field(0, ge=0, exclude_if=is_empty, description="Containers last ended as OOMKilled.")
    exit_codes: list[int] = Field(
        [], max_length=MOST_JOBS, exclude_if=is_empty, description="Exit codes with which containers last ended."
    )


class Diagnosis(Model):
    """Why jobs fail, as far as it is known, and whether a retry helps."""

    verdict: Verdict = Field(description="Of all known errors together. Unknown if most of these have no verdict.")
    known: int = Field(0, ge=0, description="Listed jobs, and retried or redelivered messages, whose error is known.")
    of: int = Field(0, ge=0, description="How many of them were looked at.")
    errors: list[ErrorSignature] = Field(
        [], max_length=MOST_ERRORS, exclude_if=is_empty, description="The errors, those of most jobs first."
    )
    errors_total: int = Field(0, ge=0, exclude_if=is_empty, description="How many errors there are.")
    retried: int = Field(
        0, ge=0, exclude_if=is_empty, description="Messages that are retries, of up to 1,000 that were looked at."
    )
    most_retries: int = Field(0, ge=0, exclude_if=is_empty, description="Retries of the one that was retried most.")
    redelivered: int = Field(
        0,
        ge=0,
        exclude_if=is_empty,
        description="Messages that were delivered again without having been retried: their worker stopped or was "
        "killed.",
    )
    retried_by: list[ShownName] = Field(
        [], max_length=MOST_JOBS, exclude_if=is_empty, description="Some of the hosts that sent the retries."
    )
    workers: WorkerEnds | None = Field(
        None, description="How the workers' containers have ended, if messages were redelivered or a worker was lost."
    )
    missing: list[ShownName] = Field(
        [],
        max_length=MOST_JOBS,
        exclude_if=is_empty,
        description="Evidence that could not be read, and the reason; or "
        "what to set in the target, where no error is known.",
    )
