"""URLs, names and field mappings are checked before any connection."""

from pathlib import Path

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.jobs.connecting import connect
from queue_recovery.recovery.errors import RecoveryError
from tests.jobs.stores import spec

PASSWORD = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://bob:hunter2@db.example:27017/app",
        "mongodb://a.example,b.example:27018/?replicaSet=rs0&authSource=admin&tls=true",
        "mongodb://bob:hunter2@db.example/?authMechanism=SCRAM-SHA-256",
        "mongodb://bob:p%2Fss.sock@db.example/",
        "mongodb://[::1]:27017/",
        "mongodb+srv://bob:hunter2@cluster.example/app?retryWrites=true&w=majority",
        "mongodb://db.example/?useNewUrlParser=true&optionOfAnotherDriver=1",
    ],
)
async def test_a_url_as_applications_use_it_is_accepted(url: str) -> None:
    await connect(url, spec("app", "jobs")).aclose()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "neither mongodb:// nor mongodb+srv://"),
        ("redis://:hunter2@db.example/0", "neither mongodb:// nor mongodb+srv://"),
        ("MONGODB://bob:hunter2@db.example/", "neither mongodb:// nor mongodb+srv://"),
        ("file:///etc/passwd", "neither mongodb:// nor mongodb+srv://"),
        ("mongodb://bob:hunter2@%2Ftmp%2Fmongodb-27017.sock/app", "socket file"),
        ("mongodb://db.example,%2Ftmp%2Fmongodb-27017.sock", "socket file"),
        ("mongodb://bob:hunter2@/var/run/mongo.sock/app", "not a valid MongoDB URL"),
        ("mongodb://db.example/?tls=true&tlsCAFile=/etc/passwd", "option tlsCAFile"),
        ("mongodb://db.example/?TLSCAFILE=/etc/passwd", "option tlsCAFile"),
        ("mongodb://db.example/?tlsCertificateKeyFile=/etc/passwd;tls=true", "option tlsCertificateKeyFile"),
        ("mongodb://db.example?tlsCRLFile=/etc/passwd", "option tlsCRLFile"),
        ("mongodb+srv://db.example/?tlsCAFile=/etc/passwd", "option tlsCAFile"),
        ("mongodb://db.example/?authMechanism=MONGODB-AWS", "authMechanism"),
        ("mongodb://db.example/?authMechanism=MONGODB-X509", "authMechanism"),
        ("mongodb://bob@db.example/?authMechanism=GSSAPI", "authMechanism"),
        (
            "mongodb://db.example/?authmechanism=MONGODB-OIDC&authMechanismProperties=ENVIRONMENT:k8s",
            "authMechanism",
        ),
        ("mongodb://db.example/?w=majority&hunter2", "name=value"),
        ("mongodb://db.example/?a=hunter2&b=1;c=2", "name=value"),
        ("mongodb://bob:hunter2@db.example:notaport/", "not a valid MongoDB URL"),
        ("mongodb://bob:hunter2@/", "not a valid MongoDB URL"),
        ("mongodb://bob:hun@ter2@db.example/", "not a valid MongoDB URL"),
        ("mongodb+srv://bob:hunter2@one.example,two.example/", "not a valid MongoDB URL"),
    ],
)
async def test_an_invalid_or_unsafe_url_is_refused_and_not_shown(url: str, says: str) -> None:
    with pytest.raises(RecoveryError) as caught:
        connect(url, spec("app", "jobs"))

    assert caught.value.reason == Reason.INVALID_JOB_STORE_URL
    assert says in caught.value.message
    for part in (PASSWORD, "example", "passwd", "27017.sock", "bob"):
        assert part not in caught.value.message


async def test_a_url_does_not_reveal_whether_a_file_exists(tmp_path: Path) -> None:
    present, missing = tmp_path / "present.pem", tmp_path / "missing.pem"
    present.touch()
    messages = set()
    for file in (present, missing):
        with pytest.raises(RecoveryError) as caught:
            connect(f"mongodb://db.example/?tlsCAFile={file}", spec("app", "jobs"))
        messages.add(caught.value.message)

    assert len(messages) == 1


@pytest.mark.parametrize(("database", "collection"), [("a b", "jobs"), ("app", "$jobs"), ("app", "..")])
async def test_names_that_mongodb_does_not_accept_are_refused(database: str, collection: str) -> None:
    with pytest.raises(RecoveryError) as caught:
        connect("mongodb://db.example/", spec(database, collection))

    assert caught.value.reason == Reason.INVALID_JOB_STORE_NAME


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "job", "taskId": "job.task_id"},
        {"status": "state", "taskId": "state"},
        {"status": "_id"},
        {"status": "_id.status"},
        {"taskId": "queueRecovery.task_id"},
        {"status": "job..status"},
        {"status": ".status"},
        {"args": "payload.$args"},
        {"kwargs": "kwargs."},
    ],
)
async def test_fields_that_cannot_be_written_or_read_are_refused_before_any_worker_is_stopped(
    fields: dict[str, str],
) -> None:
    with pytest.raises(RecoveryError) as caught:
        connect("mongodb://db.example/", spec("app", "jobs", fields=fields))

    assert caught.value.reason == Reason.INVALID_JOB_FIELDS


async def test_fields_that_are_only_read_may_overlap() -> None:
    fields = {"status": "job.status", "taskId": "job.task_id", "args": "call.args", "kwargs": "call"}

    await connect("mongodb://db.example/", spec("app", "jobs", fields=fields)).aclose()
