"""Which addresses the operator connects to, by its settings."""

import ipaddress

import pytest
from pydantic import ValidationError

from queue_recovery.controller.settings import Settings
from queue_recovery.recovery.destinations import Destinations

LOCAL = [
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255"),  # noqa: S104
    *("::", "::1", "::127.0.0.1", "fe80::1", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::"),
    *("100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254"),
]
OTHERS = [
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "203.0.113.5",
    "fd00::1",
    "2001:db8::1",
    "64:ff9b::a01:1",
]


@pytest.mark.parametrize("address", LOCAL)
def test_a_local_address_is_allowed_only_by_a_setting(address: str) -> None:
    found = ipaddress.ip_address(address)

    assert not Destinations().allow("redis.media.svc", found)
    assert not Destinations(hosts=("redis.media.svc", address)).allow("redis.media.svc", found)
    assert Destinations(local_addresses=True).allow("redis.media.svc", found)


@pytest.mark.parametrize("address", OTHERS)
def test_any_other_address_is_allowed_unless_hosts_are_listed(address: str) -> None:
    found = ipaddress.ip_address(address)

    assert Destinations().allow("redis.media.svc", found)
    assert not Destinations(hosts=("mail.media.svc",)).allow("redis.media.svc", found)


@pytest.mark.parametrize(
    ("pattern", "host", "allowed"),
    [
        ("redis.media.svc", "REDIS.media.svc.", True),
        ("redis.media.svc", "other.redis.media.svc", False),
        ("*.media.svc", "redis.media.svc", True),
        ("*.media.svc", "media.svc", False),
        ("*.media.svc", "redis.multimedia.svc", False),
        ("10.0.0.0/8", "redis.media.svc", True),
        ("10.1.2.3", "redis.media.svc", True),
        ("10.1.2.0/30", "redis.media.svc", True),
        ("10.1.2.4/30", "redis.media.svc", False),
        ("fd00::/8", "redis.media.svc", False),
    ],
)
def test_hosts_are_listed_by_name_domain_address_and_network(pattern: str, host: str, allowed: bool) -> None:  # noqa: FBT001 - a column
    assert Destinations(hosts=(pattern,)).allow(host, ipaddress.ip_address("10.1.2.3")) is allowed


def test_the_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().destinations == Destinations()

    monkeypatch.setenv("QUEUE_RECOVERY_ALLOW_LOCAL_ADDRESSES", "true")
    monkeypatch.setenv("QUEUE_RECOVERY_ALLOWED_HOSTS", "redis.media.svc, *.svc,10.0.0.0/8,")

    expected = Destinations(local_addresses=True, hosts=("redis.media.svc", "*.svc", "10.0.0.0/8"))
    assert Settings().destinations == expected


@pytest.mark.parametrize("hosts", ["*", "*.", "redis:6379", "redis://redis", "a b", "10.0.0.1/8", "user@redis"])
def test_hosts_that_could_never_match_are_refused_at_the_start(hosts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_RECOVERY_ALLOWED_HOSTS", hosts)

    with pytest.raises(ValidationError, match="should be names"):
        Settings()
