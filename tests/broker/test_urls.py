"""What a broker's URL may say."""

import pytest
from kombu.connection import Connection
from kombu.utils.url import url_to_parts

from queue_recovery.broker.connection.url import Address, parse_url
from queue_recovery.recovery.errors import RecoveryError


def address(
    host: str = "redis",
    port: int = 6379,
    database: int = 0,
    username: str | None = None,
    password: str | None = None,
) -> Address:
    return Address(
        host=host,
        port=port,
        database=database,
        username=username,
        password=password,
        tls=False,
        certificate_check="required",
        check_hostname=True,
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://redis", address()),
        ("redis://redis:6380/3", address(port=6380, database=3)),
        ("redis://redis//3", address(database=3)),
        ("redis://:p%40ss%2Fword@redis:6379/0\n", address(password="p@ss/word")),
        ("redis://user:pass@redis/1", address(database=1, username="user", password="pass")),
        ("redis://[::1]:6379/0", address(host="::1")),
        ("redis://my_redis.media.svc/0", address(host="my_redis.media.svc")),
        ("redis://redis/0?health_check_interval=30&socket_keepalive=true", address()),
    ],
)
def test_it_is_read_as_kombu_reads_it(url: str, expected: Address) -> None:
    assert parse_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://one",
        "sentinel://one:26379/2",
        "sentinel://:p%40ss@one:26379/2;sentinel://two:26380",
        "sentinel://user:pass@one:26379;sentinel://two:26380/3;sentinel://:other@three",
        "sentinel://one:26379/1?ssl_cert_reqs=CERT_NONE;sentinel://two/1",
    ],
)
def test_sentinels_are_read_as_kombu_reads_them(url: str) -> None:
    found = parse_url(url)

    kombu = Connection(url)  # type: ignore[no-untyped-call]
    parts = [url_to_parts(part) for part in kombu.alt or [url]]
    assert found.sentinels == tuple((part.hostname, part.port or 6379) for part in parts)
    assert (found.username, found.password) == (kombu.userid, kombu.password)
    assert found.database == int((kombu.virtual_host or "").strip("/") or 0)
    assert found.tls == bool(kombu.ssl)
    assert found.certificate_check == ("none" if kombu.ssl else "required")


@pytest.mark.parametrize(
    ("options", "certificate_check", "check_hostname"),
    [
        ("", "required", True),
        ("?ssl_cert_reqs=CERT_NONE", "none", True),
        ("?ssl_cert_reqs=none&ssl_check_hostname=false", "none", False),
        ("?ssl_cert_reqs=required&ssl_check_hostname=True", "required", True),
        ("?ssl_cert_reqs=CERT_OPTIONAL", "optional", True),
    ],
)
def test_certificates_are_verified_unless_the_url_says_otherwise(
    options: str, certificate_check: str, check_hostname: object
) -> None:
    found = parse_url(f"rediss://redis:6379/0{options}")

    assert found.tls
    assert (found.certificate_check, found.check_hostname) == (certificate_check, check_hostname)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "does not begin with redis://"),
        ("redis", "does not begin with redis://"),
        ("http://redis", "does not begin with redis://"),
        ("amqp://guest:hunter2@rabbit:5672//", "RabbitMQ is not supported"),
        ("pyamqp://guest:hunter2@rabbit:hunter2", "RabbitMQ is not supported"),
        ("sqs://hunter2:hunter2@", "Amazon SQS is not supported"),
        ("hunter2://redis", "does not begin with redis://"),
        ("unix:///run/redis.sock", "socket"),
        ("redis+socket:///run/redis.sock", "socket"),
        ("redis://%2Frun%2Fredis.sock", "no host"),
        ("redis:///0", "no host"),
        ("redis:///run/redis.sock", "no host"),
        ("redis://:hunter2@/0", "no host"),
        ("sentinel://one;redis://two", "sentinel://"),
        ("sentinel://one;two:26379/0", "sentinel://"),
        ("sentinel://one;", "sentinel://"),
        ("sentinel://:hunter2@/0", "no host"),
        ("sentinel://one/media", "number of the database"),
        ("sentinel://one/0?sentinel=hunter2", "option sentinel"),
        ("redis://redis/hunter2", "number of the database"),
        ("redis://redis/-1", "number of the database"),
        ("redis://redis/0/1", "number of the database"),
        ("redis://a:6379/0;redis://b:6379/0", "number of the database"),
        ("redis://a;b/0", "several servers"),
        ("redis://redis:hunter2/0", "cannot be parsed"),
        ("redis://redis:99999/0", "cannot be parsed"),
        ("redis://re..dis/0", "cannot be parsed"),
        ("redis://:hunter2[@redis/0", "cannot be parsed"),
        ("redis://:hunter#2@redis/0", "cannot be parsed|'#'|no host"),
        ("redis://redis/0?hunter2", "cannot be parsed"),
        ("redis://redis/0#hunter2", "'#'"),
        ("redis://redis/0?hunter%202=x", "does not know"),
        ("redis://redis/0?db=3", "option db"),
        ("redis://redis/0?password=hunter2", "option password"),
        ("redis://redis/0?credential_provider=os.system", "option credential_provider"),
        ("redis://redis/0?ssl_cert_reqs=none", "with rediss"),
        ("rediss://redis/0?ssl_cert_reqs=hunter2", "ssl_cert_reqs"),
        ("rediss://redis/0?ssl_check_hostname=hunter2", "ssl_check_hostname"),
        ("rediss://redis/0?ssl_ca_certs=/var/run/secrets/hunter2", "ssl_ca_certs"),
        ("rediss://redis/0?ssl_keyfile=/hunter2&ssl_certfile=/hunter2", "ssl_keyfile"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason_and_without_its_text(url: str, says: str) -> None:
    with pytest.raises(RecoveryError, match=says) as refused:
        parse_url(url)

    assert refused.value.reason == "InvalidBrokerURL"
    assert "hunter" not in str(refused.value)
    assert refused.value.__cause__ is None
