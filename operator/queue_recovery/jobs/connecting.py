"""Make the job store of a target, with settings that no URL can override."""

from dataclasses import dataclass
from typing import Final

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import AsyncMongoClient, ReadPreference
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from queue_recovery.api.reasons import Reason
from queue_recovery.api.servers import MongoDB
from queue_recovery.jobs import mapping, url
from queue_recovery.jobs.connections import Connections
from queue_recovery.jobs.replies import bound_replies
from queue_recovery.jobs.store import MongoJobStore
from queue_recovery.jobs.tls import TLS
from queue_recovery.recovery.certificates import Certificates
from queue_recovery.recovery.destinations import ANYWHERE, Destinations
from queue_recovery.recovery.errors import RecoveryError

_MAX_CONNECTIONS: Final = 10
"""To each server, besides the driver's two monitoring connections."""


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long the driver waits, in milliseconds."""

    find_server: int = 3_000
    """For a connection, and for a primary."""
    answer: int = 10_000
    """For the answer to one command, and for a majority to acknowledge a write."""
    heartbeat: int = 10_000
    """Between two checks of each server."""


TIMEOUTS: Final = Timeouts()

bound_replies()


def connect(
    address: str,
    spec: MongoDB,
    *,
    certificates: Certificates | None = None,
    destinations: Destinations = ANYWHERE,
    timeouts: Timeouts | None = None,
) -> MongoJobStore:
    """Make the job store that a target describes, without connecting yet.

    No matter what the URL says, writes are acknowledged by a majority, and reads go to the primary and see only
    what a majority holds: a claim that could be rolled back would enqueue a job twice.

    Args:
        address: the whole URL, as it is stored in the Secret.
        spec: the target's `jobStore.mongodb`.
        certificates: of the target's `jobStore.mongodb.tls`; None: it has none.
        destinations: the addresses to which it connects.
        timeouts: of its connections and commands; None: `TIMEOUTS`.

    Raises:
        RecoveryError: `InvalidJobStoreURL`, `InvalidCertificate`, `InvalidJobFields`, or
            `InvalidJobStoreName` (database or collection).
    """
    timeouts = timeouts or TIMEOUTS
    prepared = url.prepare(address)
    mapping.check(spec.fields)
    tls = TLS.of(url.tls_options(prepared), certificates)
    connections = Connections(destinations, encrypted=tls.encrypted, shown=url.shown_servers(address))
    try:
        client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(
            prepared,
            appname="queue-recovery",
            heartbeatFrequencyMS=timeouts.heartbeat,
            serverSelectionTimeoutMS=timeouts.find_server,
            connectTimeoutMS=timeouts.find_server,
            socketTimeoutMS=timeouts.answer,
            waitQueueTimeoutMS=timeouts.answer,
            minPoolSize=0,
            maxPoolSize=_MAX_CONNECTIONS,
            timeoutMS=None,
            _pool_class=connections.pool_class(),
            **tls.options,
        )
    except (PyMongoError, ValueError, TypeError):
        tls.close()
        raise url.refused(
            "is not a valid MongoDB URL: percent-encode special characters in the user and the password"
        ) from None
    connections.observe(client)
    try:
        collection = client.get_database(spec.database).get_collection(
            spec.collection,
            # A date that Python cannot hold does not fail the whole read: only its job is refused.
            codec_options=CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO),
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern("majority", wtimeout=timeouts.answer),
            read_concern=ReadConcern("majority"),
        )
    except PyMongoError:
        tls.close()
        raise RecoveryError(
            Reason.INVALID_JOB_STORE_NAME,
            f'MongoDB does not accept the names of database "{spec.database}" and collection "{spec.collection}". '
            "Correct jobStore.mongodb in the target",
        ) from None
    return MongoJobStore(client, collection, spec, connections, tls)
