"""Every reason that can be given in a condition, in an event or beside a skipped job.

One row each: the CamelCase word that a script may rely on (Kubernetes API conventions, "Typical status
properties"), what happens next, what it means, and what a person does about it. `docs/troubleshooting.md` is
generated from them.
"""

from enum import StrEnum
from typing import Self

from queue_recovery.api.base import Explained


class Outcome(Explained):
    """What happens next to a recovery, or to a job of it, for a reason."""

    NOT_YET = "waits", "The recovery waits until another object has changed, or its deadline is over."
    UNAVAILABLE = "tries again", "The recovery tries again with back-off, until its deadline is over."
    FAILED = "ends as Failed", "The recovery ends: only a new one can do better."
    CANCELLED = "ends as Cancelled", "The recovery ends, because a person asked for it."
    HELD = "waits for you", "The recovery holds, because its spec asks for it."
    PROGRESS = "goes on", "The recovery is on its way, or at its end. Nothing is wrong."
    SKIPPED = "skips the job", "The recovery goes on; the job is named in `status.skipped`."
    TARGET = "is listed on the target", "Found in the conditions of a QueueTarget, besides the reasons above."


class Reason(StrEnum):
    """Why something is as it is: one CamelCase word, with its outcome, its meaning and its remedy."""

    outcome: Outcome
    meaning: str
    remedy: str
    """What to do about it; empty: nothing."""

    def __new__(cls, word: str, outcome: Outcome, meaning: str, remedy: str = "") -> Self:
        """Make a member whose value is the word alone."""
        self = str.__new__(cls, word)
        self._value_ = word
        self.outcome = outcome
        self.meaning = meaning
        self.remedy = remedy
        return self

    # What another object can cure.
    TARGET_NOT_FOUND = (
        "TargetNotFound",
        Outcome.NOT_YET,
        "No QueueTarget of that name is in this namespace.",
        "Create the target, or a recovery that names an existing one: `kubectl get queuetargets`.",
    )
    SECRET_NOT_FOUND = (
        "SecretNotFound",
        Outcome.NOT_YET,
        "The Secret that the target names is not in this namespace.",
        "Create the Secret, or correct its name in the target.",
    )
    SECRET_KEY_MISSING = (
        "SecretKeyMissing",
        Outcome.NOT_YET,
        "The Secret is there and has no such key, or it is empty.",
        "Put the value under that key (of a URL the whole), or correct the key in the target.",
    )
    INVALID_BROKER_URL = (
        "InvalidBrokerURL",
        Outcome.NOT_YET,
        "What the Secret holds is not a URL of a Redis server.",
        "Write `redis://`, `rediss://` or `sentinel://` host and database, as in the application's `broker_url`.",
    )
    INVALID_CERTIFICATE = (
        "InvalidCertificate",
        Outcome.NOT_YET,
        "What a Secret under a `tls` of the target holds is no certificate in PEM, or its key does not fit.",
        "Put in what cert-manager or `kubectl create secret tls` would; the key without a password.",
    )
    INVALID_JOB_STORE_URL = (
        "InvalidJobStoreURL",
        Outcome.NOT_YET,
        "What the Secret holds is not a URL of a MongoDB server.",
        "Write `mongodb://` or `mongodb+srv://`, exactly as the application does.",
    )
    INVALID_JOB_STORE_NAME = (
        "InvalidJobStoreName",
        Outcome.NOT_YET,
        "`database` or `collection` of the target is not a name that MongoDB takes.",
        "Correct it in the target.",
    )
    INVALID_JOB_FIELDS = (
        "InvalidJobFields",
        Outcome.NOT_YET,
        "A name in the target's `fields` is not one of a field, or two that are written overlap.",
        "Correct `fields` in the target; the message names them.",
    )
    ADDRESS_NOT_ALLOWED = (
        "AddressNotAllowed",
        Outcome.NOT_YET,
        "A URL, a Sentinel or a replica set leads to an address to which the operator does not connect.",
        "Name the server by an address of its own. The operator's settings say which addresses are allowed.",
    )
    BROKER_IS_CLUSTER = (
        "BrokerIsCluster",
        Outcome.NOT_YET,
        "The broker is a Redis Cluster, on which Celery's keys cannot be moved in one step.",
        "Point the target at the Redis server that Celery itself uses; Celery does not support Redis Cluster.",
    )
    UNKNOWN_CONSUMER = (
        "UnknownConsumer",
        Outcome.NOT_YET,
        "Messages of the queue keep being taken although its workers are stopped: something else consumes it.",
        "Find it (the broker's CLIENT LIST shows it), stop it, and list its Deployment in the target's `workers`.",
    )
    POD_VANISHED = (
        "PodVanished",
        Outcome.NOT_YET,
        "A worker's pod is gone and was not seen to end: it counts as ended once its grace period is over.",
        "Nothing. If its node is lost or it was deleted by force, make sure that its process does not live on.",
    )
    WORKER_NOT_FOUND = (
        "WorkerNotFound",
        Outcome.NOT_YET,
        "A Deployment that the target lists as worker does not exist.",
        "Create the Deployment, or correct `workers` in the target.",
    )
    WORKER_PAUSED = (
        "WorkerPaused",
        Outcome.NOT_YET,
        "A worker's Deployment is paused, so its rollout would never complete.",
        "`kubectl rollout resume deployment/NAME`.",
    )
    FORBIDDEN = (
        "Forbidden",
        Outcome.NOT_YET,
        "The operator may not do in this namespace what it has to.",
        "Bind its rights here: `kubectl apply -n NAMESPACE -k manifests/tenant`.",
    )
    LOCKED = (
        "Locked",
        Outcome.NOT_YET,
        "Another recovery holds the queue, or one of its Deployments; the message names it.",
        "Nothing: it starts when the other one has ended. Cancel the other one if it should not go on.",
    )

    QUEUED = (
        "Queued",
        Outcome.NOT_YET,
        "As many recoveries as may stop their workers at once are doing so; the message says how many come before it.",
        "Nothing: it starts when it is its turn. `QUEUE_RECOVERY_MAX_DRAINING` sets the number.",
    )

    RECOVERY_NOT_ENDED = (
        "RecoveryNotEnded",
        Outcome.NOT_YET,
        "The recovery that `restoreFrom` names is still running.",
        "Nothing: this one starts when it has ended. Cancel it if it should not go on.",
    )

    # What is tried again.
    BROKER_UNAVAILABLE = (
        "BrokerUnavailable",
        Outcome.UNAVAILABLE,
        "The broker does not answer.",
        "Check that it runs, and that network policies let the operator's namespace reach it.",
    )
    BROKER_AUTHENTICATION_FAILED = (
        "BrokerAuthenticationFailed",
        Outcome.UNAVAILABLE,
        "The broker refuses the user or the password in the URL.",
        "Correct the URL in the Secret.",
    )
    BROKER_CERTIFICATE_REFUSED = (
        "BrokerCertificateRefused",
        Outcome.UNAVAILABLE,
        "The broker's certificate cannot be trusted, or the broker refuses the operator's, or asks for one.",
        "Do what the message says: see `broker.tls` in the target and the Secrets that it names.",
    )
    PRIMARY_NOT_FOUND = (
        "PrimaryNotFound",
        Outcome.UNAVAILABLE,
        "The Sentinels know no primary of that name, or what they name is a replica, as it is during a failover.",
        "Nothing, unless it lasts: then check `transportOptions.masterName` in the target, and the Sentinels.",
    )
    BROKER_READ_ONLY = (
        "BrokerReadOnly",
        Outcome.UNAVAILABLE,
        "The broker answers and accepts no writes: it is a replica, its memory is full, or it cannot save.",
        "Do what the message says: point the URL at the primary, free memory, or see the broker's log.",
    )
    BROKER_PERMISSION_DENIED = (
        "BrokerPermissionDenied",
        Outcome.UNAVAILABLE,
        "The broker's ACL forbids a command or a key that the operator needs.",
        "Widen the ACL of the user in the URL; the message names the command.",
    )
    BROKER_REPLY_TOO_LARGE = (
        "BrokerReplyTooLarge",
        Outcome.UNAVAILABLE,
        "The broker's reply to one command is larger than the operator reads (8 MiB), so the connection was closed.",
        "Check that the URL leads to the Redis server of the queue; then find the large key and remove it.",
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
        "The job store's certificate cannot be trusted, or the job store refuses the operator's, or asks for one.",
        "See `jobStore.mongodb.tls` in the target and the Secrets that it names.",
    )
    JOB_STORE_AUTHENTICATION_FAILED = (
        "JobStoreAuthenticationFailed",
        Outcome.UNAVAILABLE,
        "The job store refuses the user or the password in the URL.",
        "Correct the URL in the Secret; `authSource` is part of it.",
    )
    JOB_STORE_PERMISSION_DENIED = (
        "JobStorePermissionDenied",
        Outcome.UNAVAILABLE,
        "The user in the URL lacks a privilege on the collection of jobs, `find` or `update`; the message names it.",
        "Grant it the role that `docs/security.md` shows; the built-in role `readWrite` includes both.",
    )
    JOB_STORE_WRITE_REFUSED = (
        "JobStoreWriteRefused",
        Outcome.UNAVAILABLE,
        "The job store refuses to change a job's document, as a validator does; at a claim, the recovery fails.",
        "Let the validator allow the field `queueRecovery`, and the target's `statuses.pending` as status.",
    )
    KUBERNETES_UNAVAILABLE = (
        "KubernetesUnavailable",
        Outcome.UNAVAILABLE,
        "The Kubernetes API does not answer as it should.",
        "Nothing, unless it lasts: then look at the control plane.",
    )
    WORKER_CHANGED = (
        "WorkerChanged",
        Outcome.UNAVAILABLE,
        "Someone else changed a worker's Deployment in the same moment, or scaled it up during the drain.",
        "Nothing, unless it lasts: then stop the autoscaler or the Git tool that keeps scaling it.",
    )
    WORKER_WRITE_REFUSED = (
        "WorkerWriteRefused",
        Outcome.UNAVAILABLE,
        "The Kubernetes API refuses to change a worker's Deployment, as an admission policy does.",
        "See which policy or webhook forbids it; the message has the server's code.",
    )

    INTERNAL_ERROR = (
        "InternalError",
        Outcome.UNAVAILABLE,
        "The operator has met an error that it does not know, and tries again every 10 seconds.",
        "Report it with the line of the operator's log that names this recovery and the error's place.",
    )

    # What only a new recovery can cure.
    QUEUE_NOT_IN_TARGET = (
        "QueueNotInTarget",
        Outcome.FAILED,
        "The target does not list the queue, so it may not be recovered.",
        "Create a recovery that names a queue of the target, or have the queue added to the target first.",
    )
    NAME_TOO_LONG = (
        "NameTooLong",
        Outcome.FAILED,
        "The recovery's name has more than 63 characters: Deployments that it stops could not be labelled with it.",
        "Create the recovery with a shorter name.",
    )
    SPEC_TOO_LARGE = (
        "SpecTooLarge",
        Outcome.FAILED,
        "The spec takes so many bytes that the status of its jobs might not be stored beside it.",
        "Spread the jobs over several recoveries.",
    )
    TOO_MANY_WORKERS = (
        "TooManyWorkers",
        Outcome.FAILED,
        "The queues have more than 200 worker Deployments together, which is more than a status can hold.",
        "Recover the queues one by one, or have the target split.",
    )
    JOB_STORE_NOT_CONFIGURED = (
        "JobStoreNotConfigured",
        Outcome.FAILED,
        "Jobs are listed by id, and the target has no `jobStore` to look them up in.",
        "Write the jobs out by `task`, or have a `jobStore` added to the target; then create a new recovery.",
    )
    INVALID_JOB_ID = (
        "InvalidJobId",
        Outcome.FAILED,
        "An id does not have the form of the target's `idType`.",
        "Create a recovery with ids of that form; the message shows how to write each.",
    )
    JOB_NOT_FOUND = (
        "JobNotFound",
        Outcome.FAILED,
        "A listed id is not in the job store.",
        "Create a recovery with the right ids; check the target's `database` and `collection` too.",
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
        "Neither the job's document nor the queue's `message` says which task to enqueue.",
        "Have `message.task` or `fields.task` added to the target; then create a new recovery.",
    )
    TASK_NOT_ALLOWED = (
        "TaskNotAllowed",
        Outcome.FAILED,
        "The target does not allow that task on this queue.",
        "Correct the task's name, or have it added to the queue's `tasks`; then create a new recovery.",
    )
    INVALID_ARGUMENTS = (
        "InvalidArguments",
        Outcome.FAILED,
        "`args` is not a JSON array, or `kwargs` is not a JSON object.",
        "Create a recovery with valid JSON; the message names the job.",
    )
    WRONG_KEY_TYPE = (
        "WrongKeyType",
        Outcome.FAILED,
        "A Redis key of the queue is not of the type that Celery uses.",
        "Check the queue's name and the target's `transportOptions`: the key belongs to something else.",
    )
    FOREIGN_QUEUE = (
        "ForeignQueue",
        Outcome.FAILED,
        "The queue's list holds something other than Celery's messages.",
        "Check the queue's name and the target's `transportOptions`; if these are its messages, see `takeUnreadable`.",
    )
    SHARED_ROUTE = (
        "SharedRoute",
        Outcome.FAILED,
        "An exchange copies messages to this and another queue; those that workers hold look the same for both.",
        "Let the workers finish what they hold, or bind the queues to routing keys of their own.",
    )
    RECOVERY_NOT_FOUND = (
        "RecoveryNotFound",
        Outcome.FAILED,
        "No QueueRecovery of the name in `restoreFrom` is in this namespace; its UID names its quarantine.",
        "Name one that exists. What a deleted one took can be put back by hand: see `docs/quarantine.md`.",
    )
    RECOVERY_OF_ANOTHER_QUEUE = (
        "RecoveryOfAnotherQueue",
        Outcome.FAILED,
        "The recovery that `restoreFrom` names took its messages from another queue or target.",
        "Create a recovery with the `queue` and the `targetRef` of the earlier one; the message names them.",
    )
    NOTHING_TO_RESTORE = (
        "NothingToRestore",
        Outcome.FAILED,
        "Nothing of what `restoreFrom` asks for is in the quarantine: it was never taken, or is back already.",
        "Do what the message says. `docs/quarantine.md` tells how to look into a quarantine.",
    )
    RETENTION_OVER = (
        "RetentionOver",
        Outcome.FAILED,
        "The retention of the earlier recovery's quarantine has passed: its messages are removed for good.",
        "Enqueue the jobs again, by a recovery that lists them. Next time, ask for a longer `purge.retentionSeconds`.",
    )
    BROKER_LOST_DATA = (
        "BrokerLostData",
        Outcome.FAILED,
        "The broker has lost what the operator had written to it, so nothing more is enqueued.",
        "See which jobs have a message; recover the rest by a new recovery. Check persistence and fail-over.",
    )
    ALREADY_CLOSED = (
        "AlreadyClosed",
        Outcome.FAILED,
        "This recovery is finished in the broker; it cannot do anything more.",
        "Create a new recovery for what is left.",
    )
    STARTING_DEADLINE_EXCEEDED = (
        "StartingDeadlineExceeded",
        Outcome.FAILED,
        "It waited for longer than `startingDeadlineSeconds`; nothing was touched.",
        "Cure what it waited for (the message says it), then create a new recovery.",
    )
    ACTIVE_DEADLINE_EXCEEDED = (
        "ActiveDeadlineExceeded",
        Outcome.FAILED,
        "It took longer than `activeDeadlineSeconds`; the workers have their replicas again.",
        "The message says what it waited for. Create a new recovery, with a longer deadline if need be.",
    )

    # What a person asked for.
    CANCEL_REQUESTED = ("CancelRequested", Outcome.CANCELLED, "`spec.cancel` is true.")
    DELETED = ("Deleted", Outcome.CANCELLED, "The recovery was deleted while it was running.")
    SUSPENDED = (
        "Suspended",
        Outcome.HELD,
        "`spec.suspend` is true: the plan is in the status, and nothing is done.",
        "Set `suspend` to false to go on, or `cancel` to true to end it.",
    )

    # How it goes.
    RESUMED = ("Resumed", Outcome.PROGRESS, "`spec.suspend` was set to false: the plan is made again, then it begins.")
    COUNTING = (
        "Counting",
        Outcome.PROGRESS,
        "The messages of the queue are being counted, which takes longer than usual.",
    )
    PLANNED = ("Planned", Outcome.PROGRESS, "What would be done has been counted and is in `status.plan`.")
    BREAKS_CANVAS = (
        "BreaksCanvas",
        Outcome.PROGRESS,
        "Chords, groups, chains or callbacks that hang on messages to be taken will not go on; an event says so.",
        "Start what came after the jobs yourself: the new tasks have none of it, the quarantined messages all.",
    )
    TAKEN_OVER = (
        "TakenOver",
        Outcome.PROGRESS,
        "What a recovery holds that does not exist any more is taken over: it was removed without being ended.",
        "Nothing. What it had taken is kept for its retention; the event says where, and a note of it is worth taking.",
    )
    DRAINING = ("Draining", Outcome.PROGRESS, "The workers are being stopped.")
    AWAITING_MANUAL_SCALE_DOWN = (
        "AwaitingManualScaleDown",
        Outcome.HELD,
        "`restart.strategy` is Manual, and workers are still running.",
        "Scale the Deployments that the message names to 0.",
    )
    PURGING = ("Purging", Outcome.PROGRESS, "The queue's messages are being moved into the quarantine.")
    NOTHING_FOUND = (
        "NothingFound",
        Outcome.PROGRESS,
        "No message is under the queue's keys; or nothing is to be purged and nothing enqueued, so the recovery ends.",
        "If there should have been messages, check `globalKeyPrefix`, `sep` and the database number in the URL.",
    )
    RESTARTING = ("Restarting", Outcome.PROGRESS, "The workers' replicas are back; their rollout is under way.")
    AWAITING_MANUAL_SCALE_UP = (
        "AwaitingManualScaleUp",
        Outcome.HELD,
        "`restart.strategy` is Manual, and the workers are still at 0.",
        "Scale the Deployments that the message names up again.",
    )
    AWAITING_ROLLOUT = (
        "AwaitingRollout",
        Outcome.PROGRESS,
        "The workers are not all available yet; the message says what is missing.",
        "If it lasts, look at the pods: `kubectl describe pods`.",
    )
    WORKERS_AT_ZERO = (
        "WorkersAtZero",
        Outcome.PROGRESS,
        "All Deployments of a queue have 0 replicas, as they had before: nobody consumes what was enqueued.",
        "Scale them up, unless an autoscaler does that when it sees messages.",
    )
    REENQUEUING = ("Reenqueuing", Outcome.PROGRESS, "The jobs are being claimed and enqueued.")
    RESTORING = (
        "Restoring",
        Outcome.PROGRESS,
        "Messages of the earlier recovery are being brought back; they become visible all at once.",
    )
    COMPLETED = ("Completed", Outcome.PROGRESS, "Done.")
    NOT_NEEDED = ("NotNeeded", Outcome.PROGRESS, "The recovery does not ask for this step, so it was left out.")

    NOT_REPLACED = (
        "NotReplaced",
        Outcome.PROGRESS,
        "Messages were quarantined that no enqueued job replaces: what they were to do is done by nobody.",
        "Nothing, if that is what you want. Otherwise put them back: a recovery whose `restoreFrom` names this one.",
    )

    # Why a job was not enqueued.
    NOT_RECOVERABLE = (
        "NotRecoverable",
        Outcome.SKIPPED,
        "The job's status is not one of the target's `statuses.recoverable`; its message, if any, stays in the queue.",
        "Nothing, if it is done. Otherwise have the status added to the target, and create a new recovery.",
    )
    STILL_QUEUED = (
        "StillQueued",
        Outcome.SKIPPED,
        "The job's message is still in the queue, so it runs anyway.",
    )
    CHANGED_MEANWHILE = (
        "ChangedMeanwhile",
        Outcome.SKIPPED,
        "Someone else took the job up or changed its status meanwhile.",
    )
    NOT_FOUND = ("NotFound", Outcome.SKIPPED, "The job's document vanished from the job store meanwhile.")
    IN_DOUBT = (
        "InDoubt",
        Outcome.SKIPPED,
        "The broker lost its marker, so it may or may not have been enqueued; its document was left alone.",
        "Compare the task id in `message` with what your workers ran; list what did not run in a new recovery.",
    )
    NOT_ATTEMPTED = (
        "NotAttempted",
        Outcome.SKIPPED,
        "The recovery ended before this job's turn came; its document is as it was.",
        "Create a new recovery with the jobs that are left.",
    )

    # What a target's conditions say besides.
    USABLE = ("Usable", Outcome.TARGET, "All that a recovery needs of the target is there.")
    REACHABLE = ("Reachable", Outcome.TARGET, "The server answers, and lets the operator do what it has to.")
    NOT_CONFIGURED = (
        "NotConfigured",
        Outcome.TARGET,
        "The target has no `jobStore`: only jobs that are written out can be enqueued.",
    )
    WORKERS_FOUND = ("WorkersFound", Outcome.TARGET, "All Deployments that the target lists exist.")
    PERMITTED = ("Permitted", Outcome.TARGET, "The operator has the rights that it needs in this namespace.")
    NO_EVICTION = ("NoEviction", Outcome.TARGET, "The broker evicts no keys: `maxmemory-policy` is `noeviction`.")
    EVICTION_POSSIBLE = (
        "EvictionPossible",
        Outcome.TARGET,
        "A broker that is short of memory evicts keys: queues and quarantines could vanish.",
        "Set `maxmemory-policy noeviction` on the broker, as any queue needs it.",
    )
    EVICTION_UNKNOWN = (
        "EvictionUnknown",
        Outcome.TARGET,
        "The broker does not tell its `maxmemory-policy`, as many managed servers do not.",
        "Look at its settings: it should be `noeviction`.",
    )
    NOT_CHECKED = (
        "NotChecked",
        Outcome.TARGET,
        "It was not looked at, because something else is in the way: nothing is known of it.",
        "See the condition that the message names.",
    )
    VERIFIED = (
        "Verified",
        Outcome.TARGET,
        "The operator speaks TLS to the broker and the job store, and checks their certificates and hosts.",
    )
    NOT_VERIFIED = (
        "NotVerified",
        Outcome.TARGET,
        "TLS, or the check of a certificate or its host, is off: a host on the way can read and change what is sent.",
        "Use `rediss://` and `tls=true`, with `caSecretRef` under `broker.tls` and `jobStore.mongodb.tls`.",
    )
    VERIFICATION_UNKNOWN = (
        "VerificationUnknown",
        Outcome.TARGET,
        "A URL cannot be used yet, so it does not say whether the transport is verified.",
        "See the conditions `BrokerReachable` and `JobStoreReachable`.",
    )
