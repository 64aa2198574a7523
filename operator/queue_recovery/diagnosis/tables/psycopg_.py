"""The exceptions of psycopg and psycopg2, which have a class for each SQLSTATE."""

from collections.abc import Mapping
from typing import Final

from queue_recovery.diagnosis.tables.table import DETERMINISTIC, TRANSIENT, UNKNOWN, Row, Table

CONNECTION: Final = (
    r"(?i)connection refused|could not connect|connection timed out|timeout expired|server closed the connection"
    r"|terminating connection|connection reset|connection already closed|SSL connection has been closed"
    r"|SSL SYSCALL error|could not receive data|could not send data|the connection is lost|consuming input failed"
    r"|database system is (starting up|shutting down|in recovery)|too many (clients|connections)"
    r"|connection slots are reserved|temporary failure in name resolution|deadlock detected|could not serialize"
)
"""What PostgreSQL and libpq say of connections; the class is the base class then."""

_OPERATIONAL: Final = (
    *("ConnectionException", "ConnectionDoesNotExist", "ConnectionFailure", "SqlclientUnableToEstablishSqlconnection"),
    *("TransactionRollback", "SerializationFailure", "DeadlockDetected", "TooManyConnections"),
    *("AdminShutdown", "CrashShutdown", "CannotConnectNow", "LockNotAvailable"),
)
_PROGRAMMING: Final = ("SyntaxError", "UndefinedTable", "UndefinedColumn", "UndefinedFunction", "DatatypeMismatch")
_DATA: Final = (
    *("NumericValueOutOfRange", "InvalidTextRepresentation", "StringDataRightTruncation", "InvalidDatetimeFormat"),
    "UntranslatableCharacter",
)
_INTEGRITY: Final = ("NotNullViolation", "CheckViolation", "UniqueViolation", "ForeignKeyViolation")


def _bases(module: str) -> Mapping[str, tuple[str, ...]]:
    """Return the classes of a driver; those of SQLSTATEs are in its module `errors`."""
    states = {"OperationalError": _OPERATIONAL, "ProgrammingError": _PROGRAMMING, "DataError": _DATA}
    states["IntegrityError"] = _INTEGRITY
    return {
        "Error": (),
        "InterfaceError": ("Error",),
        "DatabaseError": ("Error",),
        **dict.fromkeys(
            (
                "DataError",
                "OperationalError",
                "IntegrityError",
                "InternalError",
                "ProgrammingError",
                "NotSupportedError",
            ),
            ("DatabaseError",),
        ),
        **{f"{module}.errors.{name}": (base,) for base, names in states.items() for name in names},
    }


def _rows(module: str) -> tuple[Row, ...]:
    errors = f"{module}.errors"
    return (
        Row("OperationalError", TRANSIENT, "a connection, or a conflict of transactions", CONNECTION, "connection"),
        Row("OperationalError", UNKNOWN, "a password, a name, a full disk, a cancelled statement"),
        *(
            Row(f"{errors}.{name}", TRANSIENT, "by its SQLSTATE, of class 08, 40, 53, 55 or 57")
            for name in _OPERATIONAL
        ),
        *(
            Row(f"{errors}.{name}", DETERMINISTIC, "by its SQLSTATE, of class 42: the schema is another one")
            for name in _PROGRAMMING
        ),
        Row("DataError", DETERMINISTIC, "SQLSTATE of class 22: data of a wrong shape"),
        Row(f"{errors}.NotNullViolation", DETERMINISTIC, "data of a wrong shape"),
        Row(f"{errors}.CheckViolation", DETERMINISTIC, "data of a wrong shape"),
        Row("IntegrityError", UNKNOWN, "another transaction may have been first, or the other row is not there yet"),
        Row("InterfaceError", UNKNOWN, "a connection that is closed, until the process makes another one"),
        Row("NotSupportedError", UNKNOWN, "also raised by a cached plan after a migration"),
    )


PSYCOPG: Final = Table(
    package="psycopg",
    module="psycopg",
    version="3.3.9",
    source="https://www.psycopg.org/psycopg3/docs/api/errors.html, `psycopg.errors`, PostgreSQL's libpq for messages",
    bases={**_bases("psycopg"), "psycopg_pool.PoolTimeout": ("OperationalError",)},
    rows=(
        *_rows("psycopg"),
        Row("psycopg_pool.PoolTimeout", TRANSIENT, "all connections of the pool are in use"),
    ),
)

PSYCOPG2: Final = Table(
    package="psycopg2",
    module="psycopg2",
    version="2.9",
    source="https://www.psycopg.org/docs/errors.html, PostgreSQL's libpq for messages",
    bases=_bases("psycopg2"),
    rows=_rows("psycopg2"),
)
