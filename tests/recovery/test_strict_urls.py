"""Of which URLs hosts and ports may be shown: a password that is not percent-encoded may pose as one."""

import pytest

from queue_recovery.recovery.strict_url import is_strict


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis",
        "redis://redis.media.svc:6379/0",
        "rediss://:p%40ss@redis.media.svc:6380/3?ssl_cert_reqs=none",
        "redis://user:pass@10.0.0.1/0",
        "redis://:pass@[2001:db8::1]:6379/0",
        "sentinel://:pass@s1:26379;sentinel://s2:26379/0;sentinel://s3",
        "mongodb://bob:pass@db.example,db2.example:27018/app?replicaSet=rs0&authSource=admin",
        "mongodb+srv://bob:pass@cluster.example/app",
    ],
)
def test_a_url_that_is_written_as_it_should_be_may_show_its_hosts(url: str) -> None:
    assert is_strict(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis",
        "redis://:hunter2",
        "redis://:hun@ter2@redis/0",
        "redis://user:9137/hunter2@redis/0",
        "redis://user:9137?hunter2@redis/0",
        "redis://user:9137#hunter2@redis/0",
        "redis://:hun,ter2@redis/0",
        "redis://:hun;ter2@redis/0",
        "redis://:hun%ter2@redis/0",
        "redis://hunter2%40redis/0",
        "redis://:hunter2@re%64is/0",
        "redis://:hunter2@redis:99999/0",
        "redis://:hunter2@2130706433/0",
        "redis://:hunter2@127.1/0",
        "sentinel://user:9137;sentinel://hunter2@s1:26379",
        "sentinel://:@hunter2;sentinel://hunter2@s1:26379",
        "sentinel://:hunter2@s1;sentinel://:hunter2@s2",
        "mongodb://bob:9137,hunter2@db.example/",
        "mongodb://bob:pass@db.example/?readPreferenceTags=dc:x@hunter2",
    ],
)
def test_a_url_of_which_a_piece_of_the_password_may_be_the_host_may_not(url: str) -> None:
    assert not is_strict(url)
