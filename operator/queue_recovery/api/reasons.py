"""Every reason that a condition, an event or a skipped job can have.

One row each: the CamelCase word that a script may rely on (Kubernetes API conventions, "Typical status
properties"), what happens next, what it means, and what to do about it. `docs/troubleshooting.md` is generated from it.
"""

from enum import StrEnum
from typing import Self

from queue_recovery.api.base import Explained


class Outcome(Explained):
    """What a reason means for a recovery or a job, and whether its event is a warning."""

    NOT_YET = "waits", "The recovery waits until another object has changed, or until its deadline."
    UNAVAILABLE = "tries again", "The recovery tries again with back-off, until its deadline."
    FAILED = "ends as Failed", "The recovery ends as Failed. Create a new one once the cause is fixed."
    CANCELLED = "ends as Cancelled", "The recovery ends as Cancelled, because the user asked for it."
    HELD = "waits for you", "The recovery waits for the user, as its spec or its target asks."
    PROGRESS = "goes on", "The recovery is in progress, or has ended. Nothing is wrong."
    WARNING = "goes on with a warning", "The recovery is in progress, or has ended. A warning event says what to check."
    SKIPPED = "skips the job", "The recovery goes on without the job, and lists it in `status.skipped`."
    TARGET = "is listed on the target", "Used in the conditions of a QueueTarget, besides the reasons above."

    @property
    def warns(self) -> bool:
        """Whether an event with such a reason is a warning."""
        return self in {Outcome.NOT_YET, Outcome.UNAVAILABLE, Outcome.FAILED, Outcome.WARNING}


class Reason(StrEnum):
    """A reason: one CamelCase word, with its outcome, its meaning and its remedy."""

    outcome: Outcome
    meaning: str
    remedy: str
    """What to do about it; empty: nothing."""

    def __new__(cls, word: str, outcome: Outcome, meaning: str, remedy: str = "") -> Self:
        """Create a member whose value is the word."""
        self = str.__new__(cls, word)
        self._value_ = word
        self.outcome = outcome
        self.meaning = meaning
        self.remedy = remedy
        return self

    # Waits for a change of another object.
    TARGET_NOT_FOUND = (
        "TargetNotFound",
        Outcome.NOT_YET,
        "The namespace has no QueueTarget of that name.",
        "Create the target, or create a recovery that names an existing one: `kubectl get queuetargets -n NAMESPACE`.",
    )
    SECRET_NOT_FOUND = (
        "SecretNotFound",
        Outcome.NOT_YET,
        "The namespace has no Secret of the name that the target refers to.",
        "Create the Secret, or correct its name in the target.",
    )
    SECRET_KEY_MISSING = (
        "SecretKeyMissing",
        Outcome.NOT_YET,
        "The Secret has no such key, or the key's value is empty.",
        "Add the key to the Secret (for a URL, with the whole URL as its value), or correct the key in the target.",
    )
    INVALID_BROKER_URL = (
        "InvalidBrokerURL",
        Outcome.NOT_YET,
        "The Secret's value is not the URL of a Redis server.",
        "Write a `redis://`, `rediss://` or `sentinel://` URL with host and database, as in Celery's `broker_url`.",
    )
    INVALID_CERTIFICATE = (
        "InvalidCertificate",
        Outcome.NOT_YET,
        "A Secret that `tls` of the target refers to holds no PEM certificate, or a key that does not fit it.",
        "Store what cert-manager or `kubectl create secret tls` stores. The key must not have a password.",
    )
    INVALID_JOB_STORE_URL = (
        "InvalidJobStoreURL",
        Outcome.NOT_YET,
        "The Secret's value is not the URL of a MongoDB server.",
        "Write a `mongodb://` or `mongodb+srv://` URL, exactly as the application has it.",
    )
    INVALID_JOB_STORE_NAME = (
        "InvalidJobStoreName",
        Outcome.NOT_YET,
        "MongoDB does not accept the `database` or `collection` of the target as a name.",
        "Correct the name in the target.",
    )
    INVALID_JOB_FIELDS = (
        "InvalidJobFields",
        Outcome.NOT_YET,
        "A name in the target's `fields` is not a valid field name, or two fields that are written overlap.",
        "Correct `fields` in the target. The message names them.",
    )
    ADDRESS_NOT_ALLOWED = (
        "AddressNotAllowed",
        Outcome.NOT_YET,
        "A URL, a Sentinel or a replica set points to an address to which the operator does not connect.",
        "Use an address that the operator's settings allow (`QUEUE_RECOVERY_ALLOWED_HOSTS`).",
    )
    BROKER_IS_CLUSTER = (
        "BrokerIsCluster",
        Outcome.NOT_YET,
        "The broker is a Redis Cluster, where Celery's keys cannot be moved in one step.",
        "Point the target at the Redis server that Celery itself uses. Celery does not support Redis Cluster.",
    )
    UNKNOWN_CONSUMER = (
        "UnknownConsumer",
        Outcome.NOT_YET,
        "A consumer that is none of the target's workers takes messages of the queue, or may hold some.",
        (
            "Find it with the broker's CLIENT LIST, stop it, and add it to `workers` in the target. With `redeliver`, "
            "if it consumes other queues only: a new recovery with `unknownConsumers: Ignore`."
        ),
    )
    POD_VANISHED = (
        "PodVanished",
        Outcome.NOT_YET,
        "A worker's pod disappeared and was not seen to end. It counts as ended once its grace period is over.",
        "Nothing. If its node is lost or the pod was deleted by force, make sure that its process no longer runs.",
    )
    WORKER_NOT_FOUND = (
        "WorkerNotFound",
        Outcome.NOT_YET,
        "A worker that the target lists in `workers` does not exist, or its kind does not.",
        "Create it, or correct `workers` in the target.",
    )
    WORKER_NOT_SCALABLE = (
        "WorkerNotScalable",
        Outcome.NOT_YET,
        "A worker is of a kind that cannot be stopped safely. The message says which field or subresource it lacks.",
        "List the workloads that it manages as `workers` instead ([gitops.md](gitops.md#other-kinds)).",
    )
    UPDATE_IN_PROGRESS = (
        "UpdateInProgress",
        Outcome.NOT_YET,
        "A Rollout, or a StatefulSet with a `partition`, is in an update, which would be completed at 0 replicas.",
        "Promote the update or undo it; the recovery goes on by itself ([gitops.md](gitops.md#argo-rollouts)).",
    )
    WORKER_PAUSED = (
        "WorkerPaused",
        Outcome.NOT_YET,
        "A worker's Deployment or Rollout is paused, so its rollout would never complete.",
        "`kubectl rollout resume deployment/NAME -n NAMESPACE`. For a Rollout, set `spec.paused` to false.",
    )
    PODS_WOULD_NOT_RESTART = (
        "PodsWouldNotRestart",
        Outcome.NOT_YET,
        "`restart.annotate` would leave pods of a StatefulSet running (`updateStrategy: OnDelete`, or a `partition`).",
        "Set `updateStrategy` to `RollingUpdate` with `partition: 0`; the recovery goes on by itself.",
    )
    AUTOSCALER_ACTIVE = (
        "AutoscalerActive",
        Outcome.NOT_YET,
        "A HorizontalPodAutoscaler with `minReplicas: 0` would scale a worker up while the recovery has it at 0.",
        "Set its `minReplicas` to 1 until the recovery has ended: with 1 or more it does nothing while there are 0.",
    )
    VOLUMES_WOULD_BE_DELETED = (
        "VolumesWouldBeDeleted",
        Outcome.NOT_YET,
        "A StatefulSet deletes the volumes of its pods when it is scaled to 0 (`whenScaled: Delete`).",
        "Set `persistentVolumeClaimRetentionPolicy.whenScaled` to `Retain`, or use `restart.strategy: Manual`.",
    )
    TRANSIENT_ERRORS = (
        "TransientErrors",
        Outcome.NOT_YET,
        "The jobs fail with errors that a retry cures (`status.plan.diagnosis`), so no message has to be purged.",
        "Correct what the jobs depend on, and let Celery retry. To purge all the same, see docs/diagnosis.md.",
    )
    CAUSE_OVER = (
        "CauseOver",
        Outcome.NOT_YET,
        "The recovery was proposed for a cause that its target no longer reports, so it may harm a healthy queue.",
        "Delete it. To run it all the same: `kubectl label qr/NAME -n NAMESPACE queuerecovery.dev/proposed-for-`.",
    )
    APPROVAL_OUTDATED = (
        "ApprovalOutdated",
        Outcome.NOT_YET,
        "The target was edited after the start, so jobs would be enqueued in another way than was approved.",
        "Take the edit of the target back; the recovery goes on by itself. Or cancel it, and create another one.",
    )
    AWAITING_IMAGE = (
        "AwaitingImage",
        Outcome.NOT_YET,
        "A worker does not have the image that `restart.requireImage` asks for. No job is enqueued until it has.",
        "Roll out the fix; the recovery goes on by itself. If the image is wrong, create a recovery with another name.",
    )
    FORBIDDEN = (
        "Forbidden",
        Outcome.NOT_YET,
        "The operator lacks permissions that it needs in this namespace.",
        "Grant them: `kubectl apply -n NAMESPACE -k manifests/tenant`. The message names any other permission.",
    )
    LOCKED = (
        "Locked",
        Outcome.NOT_YET,
        "Another recovery holds the queue, or one of its workers. The message names it.",
        "Nothing: this recovery starts when the other one has ended. Cancel the other one if it should not go on.",
    )
    QUEUED = (
        "Queued",
        Outcome.NOT_YET,
        "As many recoveries as may stop workers at once are doing so. The message says how many come first.",
        "Nothing: the recovery starts when its turn comes. `QUEUE_RECOVERY_MAX_DRAINING` sets the limit.",
    )
    LEDGER_LOST = (
        "LedgerLost",
        Outcome.NOT_YET,
        "The ConfigMap `queue-recovery-ledger` was deleted, so it is unknown which recoveries were executed before.",
        "Restore it from a backup, or create an empty one; then a recovery that is created again runs once more.",
    )
    LEDGER_UNREADABLE = (
        "LedgerUnreadable",
        Outcome.NOT_YET,
        "The entry of this name and spec in `queue-recovery-ledger` cannot be read, or it has too many keys.",
        "If no recovery with this name and spec was executed, remove the entry: the message says which keys.",
    )
    RECOVERY_NOT_ENDED = (
        "RecoveryNotEnded",
        Outcome.NOT_YET,
        "The recovery that `restoreFrom` names is still running.",
        "Nothing: this recovery starts when the other one has ended. Cancel the other one if it should not go on.",
    )

    # Tries again.
    BROKER_UNAVAILABLE = (
        "BrokerUnavailable",
        Outcome.UNAVAILABLE,
        "The broker does not answer.",
        "Check that it runs, and that network policies let the operator's namespace reach it.",
    )
    BROKER_AUTHENTICATION_FAILED = (
        "BrokerAuthenticationFailed",
        Outcome.UNAVAILABLE,
        "The broker rejects the user or the password in the URL.",
        "Correct the URL in the Secret.",
    )
    BROKER_CERTIFICATE_REFUSED = (
        "BrokerCertificateRefused",
        Outcome.UNAVAILABLE,
        "The broker's certificate cannot be verified, or the broker rejects the operator's, or asks for one.",
        "Do what the message says: see `broker.tls` in the target and the Secrets that it names.",
    )
    PRIMARY_NOT_FOUND = (
        "PrimaryNotFound",
        Outcome.UNAVAILABLE,
        "The Sentinels know no primary of that name, or name a replica, as during a failover.",
        "Nothing, unless it lasts: then check `transportOptions.masterName` in the target, and the Sentinels.",
    )
    BROKER_READ_ONLY = (
        "BrokerReadOnly",
        Outcome.UNAVAILABLE,
        "The broker answers but accepts no writes: it is a replica, its memory is full, or it cannot save.",
        "Do what the message says: point the URL at the primary, free memory, or see the broker's log.",
    )
    BROKER_PERMISSION_DENIED = (
        "BrokerPermissionDenied",
        Outcome.UNAVAILABLE,
        "The broker's ACL denies a command or a key that the operator needs.",
        "Extend the ACL of the user in the URL. The message names the command.",
    )
    BROKER_REPLY_TOO_LARGE = (
        "BrokerReplyTooLarge",
        Outcome.UNAVAILABLE,
        "The broker's reply to one command is larger than the operator reads (8 MiB), so the connection was closed.",
        "Check that the URL points to the Redis server of the queue; then find the large key and remove it.",
    )
    JOB_STORE_UNAVAILABLE = (
        "JobStoreUnavailable",
        Outcome.UNAVAILABLE,
        "The job store does not answer.",
        "Check that it runs, and that network policies let the operator's namespace reach it.",
    )
    JOB_STORE_CERTIFICATE_REFUSED = (
        "JobStoreCertificateRefused",
        Outcome.UNAVAILABLE,
        "The job store's certificate cannot be verified, or the job store rejects the operator's, or asks for one.",
        "See `jobStore.mongodb.tls` in the target and the Secrets that it names.",
    )
    JOB_STORE_AUTHENTICATION_FAILED = (
        "JobStoreAuthenticationFailed",
        Outcome.UNAVAILABLE,
        "The job store rejects the user or the password in the URL.",
        "Correct the URL in the Secret, including its `authSource`.",
    )
    JOB_STORE_PERMISSION_DENIED = (
        "JobStorePermissionDenied",
        Outcome.UNAVAILABLE,
        "The user in the URL lacks a privilege on the collection of jobs, `find` or `update`. The message names it.",
        "Grant the role that `docs/security.md` shows. The built-in role `readWrite` includes both privileges.",
    )
    JOB_STORE_RELEASE_REFUSED = (
        "JobStoreReleaseRefused",
        Outcome.UNAVAILABLE,
        "The job store rejects giving back a job that was claimed but not enqueued, as a validator does.",
        "Let the validator allow the field `queueRecovery` and the job's former status. The message names the jobs.",
    )
    KUBERNETES_UNAVAILABLE = (
        "KubernetesUnavailable",
        Outcome.UNAVAILABLE,
        "The Kubernetes API server does not answer as it should.",
        "Nothing, unless it lasts: then look at the control plane.",
    )
    CAUSE_UNKNOWN = (
        "CauseUnknown",
        Outcome.UNAVAILABLE,
        "The recovery was proposed for a cause, and its target's status does not tell yet whether that still exists.",
        "Wait for the next checks of the target. To start it without them, remove the label that the message names.",
    )
    LEDGER_REFUSED = (
        "LedgerRefused",
        Outcome.UNAVAILABLE,
        "The API server does not accept a new entry in the ConfigMap `queue-recovery-ledger`.",
        "If it is immutable, create it again from its content without that field. If it is full, remove keys.",
    )
    WORKER_CHANGED = (
        "WorkerChanged",
        Outcome.UNAVAILABLE,
        "Somebody else changed a worker at the same moment, or scaled it up during the drain.",
        "Nothing, unless it lasts: then stop the autoscaler or the GitOps tool that scales it.",
    )
    WORKER_WRITE_REFUSED = (
        "WorkerWriteRefused",
        Outcome.UNAVAILABLE,
        "The Kubernetes API server rejects the change of a worker, as an admission policy does.",
        "Find the policy or webhook that denies it. The message has the server's status code.",
    )
    INTERNAL_ERROR = (
        "InternalError",
        Outcome.UNAVAILABLE,
        "The operator met an unexpected error, and tries again every 10 seconds.",
        "Report it, with the line of the operator's log that names this recovery and where the error occurred.",
    )

    # Ends as Failed.
    QUEUE_NOT_IN_TARGET = (
        "QueueNotInTarget",
        Outcome.FAILED,
        "The target does not list the queue, so it may not be recovered.",
        "Create a recovery that names a queue of the target, or have the queue added to the target first.",
    )
    NAME_TOO_LONG = (
        "NameTooLong",
        Outcome.FAILED,
        "The recovery's name has more than 63 characters, so workers that it stops cannot be labelled with it.",
        "Create the recovery with a shorter name.",
    )
    SPEC_TOO_LARGE = (
        "SpecTooLarge",
        Outcome.FAILED,
        "The spec is so large that the status of its jobs might not fit into the same object.",
        "Spread the jobs over several recoveries.",
    )
    TOO_MANY_WORKERS = (
        "TooManyWorkers",
        Outcome.FAILED,
        "The queues have more than 200 workers, or these have, or had since the start, more ScaledObjects.",
        "Recover the queues one by one, or have the target split.",
    )
    WORKER_NOT_IN_TARGET = (
        "WorkerNotInTarget",
        Outcome.FAILED,
        "`restart.requireImage` names a worker that is none of the queue's workers.",
        "Create a recovery that names one of the queue's workers, or add the worker to the target first.",
    )
    WORKER_KIND_UNSUITED = (
        "WorkerKindUnsuited",
        Outcome.FAILED,
        "`requireImage` or `annotate` is used with a worker of a kind whose way to update its pods is not known.",
        "Create a recovery without it. Deployments, StatefulSets and Rollouts have both.",
    )
    JOB_STORE_NOT_CONFIGURED = (
        "JobStoreNotConfigured",
        Outcome.FAILED,
        "Jobs are listed by id, but the target has no `jobStore` to look them up in.",
        "Write the jobs out by `task`, or have a `jobStore` added to the target; then create a new recovery.",
    )
    JOB_STORE_WRITE_REFUSED = (
        "JobStoreWriteRefused",
        Outcome.FAILED,
        "The job store rejects the claim of a job, as a validator does.",
        "Let the validator allow the field `queueRecovery` and the target's `statuses.pending`; then create a new one.",
    )
    INVALID_JOB_ID = (
        "InvalidJobId",
        Outcome.FAILED,
        "An id does not have the form of the target's `idType`.",
        "Create a recovery with ids of that form. The message shows how to write each.",
    )
    JOB_NOT_FOUND = (
        "JobNotFound",
        Outcome.FAILED,
        "The job store has no document for a listed id.",
        "Create a recovery with the right ids. Check the target's `database` and `collection` too.",
    )
    TASK_ID_NOT_TEXT = (
        "TaskIdNotText",
        Outcome.FAILED,
        "A job's task id is not stored as text, so its message would not be found and the job could not be claimed.",
        "Store task ids as text, as Celery writes them, or leave the job out. The message has the jobs and the types.",
    )
    DUPLICATE_JOB = (
        "DuplicateJob",
        Outcome.FAILED,
        "An id is listed twice.",
        "Create a recovery that lists each job once.",
    )
    NO_TASK_NAME = (
        "NoTaskName",
        Outcome.FAILED,
        "Neither the job's document nor the queue's `message` names the task to enqueue.",
        (
            "Create a recovery that writes the job out (`task`, `args`), if the queue's `tasks` name its task. "
            "Otherwise first have `fields.task` mapped or `message.task` added in the target."
        ),
    )
    TASK_NOT_ALLOWED = (
        "TaskNotAllowed",
        Outcome.FAILED,
        "The target does not allow that task in this queue.",
        "Correct the task's name, or have it added to the queue's `tasks`; then create a new recovery.",
    )
    INVALID_ARGUMENTS = (
        "InvalidArguments",
        Outcome.FAILED,
        "`args` is not a JSON array, or `kwargs` is not a JSON object.",
        "Create a recovery with valid JSON. The message names the job.",
    )
    WRONG_KEY_TYPE = (
        "WrongKeyType",
        Outcome.FAILED,
        "A Redis key of the queue does not have the type that Celery uses, so it belongs to something else.",
        "Check the queue's name and the target's `transportOptions`.",
    )
    FOREIGN_QUEUE = (
        "ForeignQueue",
        Outcome.FAILED,
        "The queue's list holds something other than Celery's messages.",
        "Check the queue's name and `transportOptions`. If none can be read: a new recovery with `takeUnreadable`.",
    )
    SHARED_ROUTE = (
        "SharedRoute",
        Outcome.FAILED,
        "An exchange copies messages to this queue and another one, and copies that workers hold look the same.",
        "Let the workers finish what they hold, or bind the queues to different routing keys.",
    )
    RECOVERY_NOT_FOUND = (
        "RecoveryNotFound",
        Outcome.FAILED,
        "The namespace has no QueueRecovery of the name in `restoreFrom`.",
        "Name one that exists. To name a deleted one, create it again with the same name and spec: it does not run.",
    )
    RECOVERY_OF_ANOTHER_QUEUE = (
        "RecoveryOfAnotherQueue",
        Outcome.FAILED,
        "The recovery that `restoreFrom` names took its messages from another queue or target.",
        "Create a recovery with the `queue` and the `targetRef` of the earlier one. The message names them.",
    )
    NOTHING_TO_RESTORE = (
        "NothingToRestore",
        Outcome.FAILED,
        "The quarantine has no message that `restoreFrom` asks for: it was never taken, or was already put back.",
        "Do what the message says. `docs/quarantine.md` describes how to look into a quarantine.",
    )
    RETENTION_OVER = (
        "RetentionOver",
        Outcome.FAILED,
        "The retention of the earlier recovery's quarantine is over, so its messages were removed.",
        "Enqueue the jobs again with a recovery that lists them. Next time, set a longer `purge.retentionSeconds`.",
    )
    AUTHOR_UNKNOWN = (
        "AuthorUnknown",
        Outcome.FAILED,
        "The target does not let the author approve, and it is not proven who has created the recovery.",
        "Do what the message says, then create another recovery, with the annotation `queuerecovery.dev/author`.",
    )
    BROKER_LOST_DATA = (
        "BrokerLostData",
        Outcome.FAILED,
        "The broker lost what the operator had written to it, so nothing more is enqueued.",
        "Recover the jobs that have no message with a new recovery. Check the broker's persistence and failover.",
    )
    NOT_CONSUMED = (
        "NotConsumed",
        Outcome.FAILED,
        "The workers were restarted, and no message was consumed within `restart.consumptionDeadlineSeconds`.",
        (
            "Look at the logs of the pods and at `celery inspect active`; compare the workers' broker URL and queues "
            "with the target. If long tasks hold all slots, wait for them."
        ),
    )
    ALREADY_CLOSED = (
        "AlreadyClosed",
        Outcome.FAILED,
        "This recovery is closed in the broker and cannot do anything more.",
        "Create a new recovery for what is left.",
    )
    STARTING_DEADLINE_EXCEEDED = (
        "StartingDeadlineExceeded",
        Outcome.FAILED,
        "The recovery waited for longer than `startingDeadlineSeconds`. Nothing was touched.",
        "Fix what it waited for, which the message names; then create a new recovery.",
    )
    NOT_AFTER_PASSED = (
        "NotAfterPassed",
        Outcome.FAILED,
        "The recovery did not start before `notAfter`. Nothing was touched.",
        "Remove it from Git if its incident is over. To run it, create one with another name and a later `notAfter`.",
    )
    ACTIVE_DEADLINE_EXCEEDED = (
        "ActiveDeadlineExceeded",
        Outcome.FAILED,
        "The recovery took longer than `activeDeadlineSeconds`. The workers have their replicas again.",
        "Fix what it waited for, which the message names, or set a longer deadline; then create a new recovery.",
    )

    # The user asked for it.
    CANCEL_REQUESTED = ("CancelRequested", Outcome.CANCELLED, "`spec.cancel` is true.")
    DELETED = (
        "Deleted",
        Outcome.CANCELLED,
        "The recovery was deleted while it was running.",
        (
            "If it has quarantined messages, create it again with the same name and spec: it does not run again, and "
            "`restoreFrom` can name it."
        ),
    )
    SUSPENDED = (
        "Suspended",
        Outcome.HELD,
        "`spec.suspend` is true: the plan is in the status, and nothing is done.",
        "Set `suspend` to false to go on, or `cancel` to true to end the recovery.",
    )
    AWAITING_APPROVAL = (
        "AwaitingApproval",
        Outcome.HELD,
        "The target requires an approval of the plan. Nothing is held meanwhile, and no deadline but `notAfter` runs.",
        "Look at `status.plan`; then run the command in the message, as a user who may approve.",
    )
    AWAITING_MANUAL_SCALE_DOWN = (
        "AwaitingManualScaleDown",
        Outcome.HELD,
        "`restart.strategy` is Manual, and workers are still running.",
        "Scale the workers that the message names to 0.",
    )
    AWAITING_MANUAL_SCALE_UP = (
        "AwaitingManualScaleUp",
        Outcome.HELD,
        "`restart.strategy` is Manual, and the workers are still at 0.",
        "Scale the workers that the message names up again.",
    )

    # Goes on.
    RESUMED = ("Resumed", Outcome.PROGRESS, "`spec.suspend` was set to false: the recovery plans again, then starts.")
    COUNTING = ("Counting", Outcome.PROGRESS, "The messages of the queue are being counted.")
    PLANNED = ("Planned", Outcome.PROGRESS, "The plan is in `status.plan`.")
    APPROVED = ("Approved", Outcome.PROGRESS, "The plan is approved.")
    TAKEN_OVER = (
        "TakenOver",
        Outcome.PROGRESS,
        "A recovery that was removed, or that has ended before a failover, still held the queue. Its run is finished.",
        "Nothing. What it quarantined is retained; the event says where, which is worth a note.",
    )
    DRAINING = ("Draining", Outcome.PROGRESS, "The workers are being stopped.")
    PURGING = ("Purging", Outcome.PROGRESS, "The queue's messages are being moved into the quarantine.")
    RESTARTING = (
        "Restarting",
        Outcome.PROGRESS,
        "The workers are scaled back or restarted, and their rollout is in progress.",
    )
    AWAITING_ROLLOUT = (
        "AwaitingRollout",
        Outcome.PROGRESS,
        "The workers are not all available yet. The message says what is missing.",
        "If it lasts, look at the pods: `kubectl describe pods -n NAMESPACE`.",
    )
    REDELIVERING = (
        "Redelivering",
        Outcome.PROGRESS,
        "The messages in `unacked` whose consumer is gone are being given back to the queue.",
    )
    VERIFYING = (
        "Verifying",
        Outcome.PROGRESS,
        "The workers are restarted, and a message has to be consumed before the recovery goes on.",
    )
    REENQUEUING = ("Reenqueuing", Outcome.PROGRESS, "The jobs are being claimed and enqueued.")
    RESTORING = (
        "Restoring",
        Outcome.PROGRESS,
        "Messages of the earlier recovery are being put back. Workers see all of them at once.",
    )
    COMPLETED = ("Completed", Outcome.PROGRESS, "The step, or the whole recovery, is complete.")
    NOT_NEEDED = ("NotNeeded", Outcome.PROGRESS, "The recovery does not ask for this step, so it was left out.")

    # Goes on with a warning.
    BREAKS_CANVAS = (
        "BreaksCanvas",
        Outcome.WARNING,
        "Messages to be taken belong to chords, groups or chains, or carry callbacks, none of which will run.",
        "Start what follows the jobs yourself: the new tasks carry none of it. The quarantined messages still do.",
    )
    QUEUE_EMPTY = (
        "QueueEmpty",
        Outcome.WARNING,
        "The queue is empty in Redis. The recovery enqueues its jobs all the same.",
        "If the message does not say what became of them, check `globalKeyPrefix`, `sep` and the database in the URL.",
    )
    ALREADY_EXECUTED = (
        "AlreadyExecuted",
        Outcome.PROGRESS,
        "A recovery with the same name and spec was executed before. This one did nothing and ended in the same phase.",
        "To run it again on purpose, create it with another name.",
    )
    NOTHING_TO_DO = (
        "NothingToDo",
        Outcome.WARNING,
        "Nothing is to be purged, given back or enqueued, so the recovery ends and stops no worker.",
        (
            "If the message does not say what became of them, check `globalKeyPrefix`, `sep` and the database in the "
            "URL. `status.skipped` names the jobs."
        ),
    )
    REPLICAS_APPLIED = (
        "ReplicasApplied",
        Outcome.WARNING,
        "A tool sets the workers' replicas with each server-side apply, so it may scale them up during the drain.",
        "Have the tool leave the field alone, as the message shows. Otherwise the drain begins again each time.",
    )
    WORKERS_AT_ZERO = (
        "WorkersAtZero",
        Outcome.WARNING,
        "All workers of a queue have 0 replicas: nothing consumes what was enqueued.",
        "Scale them up, unless an autoscaler does that when it sees messages.",
    )
    MAY_BE_HELD = (
        "MayBeHeld",
        Outcome.WARNING,
        "Messages were left in `unacked`, because a running worker may hold them.",
        "Nothing, if the workers are busy. If they are stuck or one was killed, restart them too: docs/redelivery.md.",
    )
    CONSUMPTION_UNKNOWN = (
        "ConsumptionUnknown",
        Outcome.WARNING,
        "The workers were restarted, and it could not be determined whether they consume the queue.",
        "Do what the message says: nothing moved, and the broker does not show who waits for messages.",
    )
    NOT_REPLACED = (
        "NotReplaced",
        Outcome.WARNING,
        "Messages were quarantined that no enqueued job replaces, so their work is not done.",
        (
            "Nothing, if you want that. Otherwise put them back: create a recovery whose `restoreFrom` names this one. "
            "To name a deleted one, create it again with the same name and spec: it does not run again."
        ),
    )

    # Skips the job.
    NOT_RECOVERABLE = (
        "NotRecoverable",
        Outcome.SKIPPED,
        "The job's status is not one of the target's `statuses.recoverable`. Its message, if any, stays in the queue.",
        "Nothing, if the job is done. Otherwise have the status added to the target, and create a new recovery.",
    )
    STILL_QUEUED = (
        "StillQueued",
        Outcome.SKIPPED,
        "The job's message is still in the queue, so the job runs anyway.",
    )
    NOT_APPROVED = (
        "NotApproved",
        Outcome.SKIPPED,
        "The job's document names another task than any of those that were approved.",
        "If it is to run all the same, create another recovery that lists the job, and have it approved.",
    )
    CHANGED_MEANWHILE = (
        "ChangedMeanwhile",
        Outcome.SKIPPED,
        "Somebody else took the job or changed its status after the drain.",
    )
    NOT_FOUND = ("NotFound", Outcome.SKIPPED, "The job's document was removed from the job store after the plan.")
    IN_DOUBT = (
        "InDoubt",
        Outcome.SKIPPED,
        "The broker lost the job's marker, so the job may or may not have been enqueued. Its document is unchanged.",
        "Compare the task id in `message` with what your workers ran; list what did not run in a new recovery.",
    )
    NOT_ATTEMPTED = (
        "NotAttempted",
        Outcome.SKIPPED,
        "The recovery ended before this job's turn. Its document is unchanged.",
        "Create a new recovery with the jobs that are left.",
    )

    # Conditions of a target.
    USABLE = ("Usable", Outcome.TARGET, "The target has everything that a recovery needs.")
    REACHABLE = ("Reachable", Outcome.TARGET, "The server answers, and grants the operator what it needs.")
    NOT_CONFIGURED = (
        "NotConfigured",
        Outcome.TARGET,
        "The target has no `jobStore`: only jobs that are written out can be enqueued.",
    )
    WORKERS_FOUND = ("WorkersFound", Outcome.TARGET, "All workers that the target lists exist.")
    PERMITTED = ("Permitted", Outcome.TARGET, "The operator has the permissions that it needs in this namespace.")
    NO_EVICTION = ("NoEviction", Outcome.TARGET, "The broker evicts no keys: `maxmemory-policy` is `noeviction`.")
    EVICTION_POSSIBLE = (
        "EvictionPossible",
        Outcome.TARGET,
        "The broker evicts keys when it is short of memory, so queues and quarantines could vanish.",
        "Set `maxmemory-policy noeviction` on the broker, as any queue needs it.",
    )
    EVICTION_UNKNOWN = (
        "EvictionUnknown",
        Outcome.TARGET,
        "The broker does not report its `maxmemory-policy`, as many managed servers do not.",
        "Check in the server's settings that it is `noeviction`.",
    )
    NOT_CHECKED = (
        "NotChecked",
        Outcome.TARGET,
        "It was not checked, because another condition has to be met first.",
        "See the condition that the message names.",
    )
    VERIFIED = (
        "Verified",
        Outcome.TARGET,
        "The operator uses TLS to the broker and the job store, and verifies their certificates and host names.",
    )
    NOT_VERIFIED = (
        "NotVerified",
        Outcome.TARGET,
        "TLS, or the check of a certificate or host name, is off: others on the network can read and change data.",
        "Use `rediss://` and `tls=true`, with `caSecretRef` in `broker.tls` and `jobStore.mongodb.tls`.",
    )
    VERIFICATION_UNKNOWN = (
        "VerificationUnknown",
        Outcome.TARGET,
        "A URL cannot be used yet, so it is unknown whether the transport is verified.",
        "See the conditions `BrokerReachable` and `JobStoreReachable`.",
    )
    EVIDENCE_READABLE = (
        "EvidenceReadable",
        Outcome.TARGET,
        "The rules in `diagnosis.rules` are valid, and Celery's results can be read if `diagnosis.results` is set.",
    )
    INVALID_RULE = (
        "InvalidRule",
        Outcome.TARGET,
        "A `message` in `diagnosis.rules` is no regular expression to the operator, so its rule matches nothing.",
        "Write it in the syntax of Rust's `regex`, with a backslash before a bracket that is meant literally.",
    )
    NOT_STUCK = ("NotStuck", Outcome.TARGET, "Nothing that was seen of the target's queues says that one is stuck.")
    DEAF_WORKERS = (
        "DeafWorkers",
        Outcome.TARGET,
        "Messages wait and none is taken, although workers are ready and hold no message.",
        "Unless they run long tasks, restart them: a recovery with `purge.mode: None` and `restart.annotate: true`.",
    )
    STRANDED_MESSAGES = (
        "StrandedMessages",
        Outcome.TARGET,
        "Workers were killed that held messages. Celery gives these back only after its visibility timeout.",
        "Give them back at once: a recovery with `purge.mode: None` and `redeliver: {}`. It purges nothing.",
    )
    RETRY_LOOP = (
        "RetryLoop",
        Outcome.TARGET,
        "Messages of the queue are retried again and again.",
        "A suspended recovery's plan says whether a retry helps. If not, fix the task, then resume the recovery.",
    )
    POISON_MESSAGE = (
        "PoisonMessage",
        Outcome.TARGET,
        "A message is delivered again and again while containers of the workers are killed: it may be what kills them.",
        "Purge the message with a recovery that selects it. Raise the memory limit if the containers are `OOMKilled`.",
    )
    HOARDED_MESSAGES = (
        "HoardedMessages",
        Outcome.TARGET,
        "Workers hold many more messages than they can run: with an ETA far ahead, or because they prefetch too many.",
        "Schedule far ETAs in a database instead, or lower `worker_prefetch_multiplier`. No recovery is needed.",
    )
    RISING_DEPTH = (
        "RisingDepth",
        Outcome.TARGET,
        "More messages arrive than workers take, for a long time.",
        "Scale the workers up, or find out why their tasks take longer. No recovery is needed.",
    )
    UNDECODABLE_MESSAGES = (
        "UndecodableMessages",
        Outcome.TARGET,
        "Messages that are consumed next are not Celery's. A worker that takes one of them may exit.",
        "Find out which program wrote them. Purge the queue, and put back what can be read: docs/stuck.md says how.",
    )
    RECOVERY_PROPOSED = (
        "RecoveryProposed",
        Outcome.TARGET,
        "The operator has created a suspended recovery that cures a stuck queue, because `policy.propose` is true.",
        "Look at its plan. The event has the command that starts it. Delete it if it is not what you want.",
    )
    PROPOSAL_REFUSED = (
        "ProposalRefused",
        Outcome.TARGET,
        "The API server does not let the operator create a recovery that it would propose (`policy.propose`).",
        "Do what the message says, or create the recovery yourself. The operator tries again at each look.",
    )
    RUN_TIMES_WITHIN_LIMITS = (
        "RunTimesWithinLimits",
        Outcome.TARGET,
        "No task was seen to run longer than the grace period of its workers, or than Celery's visibility timeout.",
    )
    RUN_BEYOND_GRACE_PERIOD = (
        "RunBeyondGracePeriod",
        Outcome.TARGET,
        "A task runs longer than the pods of its workers may take to end, so an update kills it while it runs.",
        "Raise `terminationGracePeriodSeconds` in the workers' pod template above the longest task.",
    )
    RUN_BEYOND_TIMEOUT = (
        "RunBeyondTimeout",
        Outcome.TARGET,
        "A task runs for longer than Celery's visibility timeout, so Celery delivers its message again meanwhile.",
        "Raise `visibility_timeout` in the application and the target above the longest task. docs/stuck.md says more.",
    )
    NO_RUN_SEEN = (
        "NoRunSeen",
        Outcome.TARGET,
        "No task was seen to run at two looks, so the operator knows nothing of how long tasks run.",
        "None, if tasks are short. Otherwise docs/stuck.md says which settings of Celery make them visible.",
    )
    ETAS_WITHIN_TIMEOUT = (
        "EtasWithinTimeout",
        Outcome.TARGET,
        "No message that workers hold has an ETA beyond Celery's visibility timeout.",
    )
    ETA_BEYOND_TIMEOUT = (
        "EtaBeyondTimeout",
        Outcome.TARGET,
        "Workers hold a message whose ETA is beyond Celery's visibility timeout, so it is delivered and run again.",
        "Raise `visibility_timeout` in the application and the target, or schedule such tasks in a database.",
    )
