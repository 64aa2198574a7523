"""Making the job store of a target: what each connection is made with, also against what the URL says."""

from typing import Final

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import AsyncMongoClient, ReadPreference
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from queue_recovery.api.reasons import Reason
from queue_recovery.api.servers import MongoDB
from queue_recovery.jobs import mapping, url
from queue_recovery.jobs.guarded import Reach
from queue_recovery.jobs.replies import bound_replies
from queue_recovery.jobs.store import MongoJobStore
from queue_recovery.jobs.tls import TLS
from queue_recovery.recovery.certificates import Certificates
from queue_recovery.recovery.destinations import ANYWHERE, Destinations
from queue_recovery.recovery.errors import NotYet

_FIND_SERVER_MS: Final = 3_000
_ANSWER_MS: Final = 10_000
"""For the answer to one command, and for a majority to acknowledge a write."""
_HEARTBEAT_MS: Final = 10_000
"""Between two looks at each server."""
_CONNECTIONS: Final = 10
"""To each server at most, besides the two that watch it."""

bound_replies()


def connect(
    address: str, spec: MongoDB, *, certificates: Certificates | None = None, destinations: Destinations = ANYWHERE
) -> MongoJobStore:
    """Make the job store that a target describes, without connecting yet.

    Also against what the URL says, writes are acknowledged by a majority, and reads go to the primary and see only
    what a majority holds: a claim that could be rolled back would enqueue a job twice.

    Args:
        address: the whole URL, as it is stored in the Secret.
        spec: the target's `jobStore.mongodb`.
        certificates: of the target's `jobStore.mongodb.tls`; None: it has none.
        destinations: the addresses to which it connects.

    Raises:
        NotYet: `InvalidJobStoreURL`, `InvalidCertificate`, `InvalidJobFields`, or
            `InvalidJobStoreName` (database or collection).
    """
    prepared = url.prepare(address)
    mapping.check(spec.fields)
    tls = TLS.of(url.tls_options(prepared), certificates)
    reach = Reach(destinations, encrypted=tls.encrypted, shown=url.shown_servers(address))
    try:
        client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(
            prepared,
            appname="queue-recovery",
            heartbeatFrequencyMS=_HEARTBEAT_MS,
            serverSelectionTimeoutMS=_FIND_SERVER_MS,
            connectTimeoutMS=_FIND_SERVER_MS,
            socketTimeoutMS=_ANSWER_MS,
            waitQueueTimeoutMS=_ANSWER_MS,
            minPoolSize=0,
            maxPoolSize=_CONNECTIONS,
            timeoutMS=None,
            _pool_class=reach.pool_class(),
            **tls.options,
        )
    except (PyMongoError, ValueError, TypeError):
        tls.close()
        raise url.refused(
            "is not one that the MongoDB driver takes: percent-encode special characters in user and password"
        ) from None
    reach.watch(client)
    try:
        collection = client.get_database(spec.database).get_collection(
            spec.collection,
            # Dates beyond those that Python knows are left as they are, to be refused by name.
            codec_options=CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO),
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern("majority", wtimeout=_ANSWER_MS),
            read_concern=ReadConcern("majority"),
        )
    except PyMongoError:
        tls.close()
        raise NotYet(
            Reason.INVALID_JOB_STORE_NAME,
            f'MongoDB takes no database "{spec.database}" with a collection "{spec.collection}"; correct the target',
        ) from None
    return MongoJobStore(client, collection, spec, reach, tls)
