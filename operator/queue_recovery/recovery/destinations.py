"""The addresses to which the operator connects.

Any user who may write the Secret chooses the URL, and a server of that user may resolve its names. So the check uses
the resolved address: Python raises the audit event `socket.connect` right before the system call
(docs.python.org/3/library/audit_events). There is no gap between the check and the connect, for any driver, no matter
whether a Secret, a Sentinel or a replica set names the server.
"""

import ipaddress
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError, Server

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_LOCAL = [
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
        *("::/96", "fe80::/10", "ff00::/8"),
        # Metadata services outside the link-local range: Alibaba's, Oracle's, Azure's, Amazon's, Google's.
        *("100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32", "fd00:ec2::254/128", "fd20:ce::254/128"),
    )
]
"""Loopback, link-local, multicast, reserved and metadata addresses."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressNotAllowedError(OSError):
    """The operator does not connect to this address."""


def address_not_allowed(server: Server) -> RecoveryError:
    """Return the error of a server at an address that is not allowed."""
    return RecoveryError(
        Reason.ADDRESS_NOT_ALLOWED,
        f"the {server}'s URL, or a server that it leads to, names an address to which the operator does not connect: a "
        "loopback, link-local or metadata address, or one that QUEUE_RECOVERY_ALLOWED_HOSTS does not list. Name the "
        "server by its own address, or ask for a change of the operator's settings",
        server=server,
    )


@dataclass(frozen=True, kw_only=True)
class Destinations:
    """The operator's settings for the addresses to which it connects."""

    local_addresses: bool = False
    """Whether loopback, link-local and metadata addresses are allowed."""
    hosts: tuple[str, ...] = ()
    """The allowed hosts: names, `*.` and a domain, addresses and networks; empty: all."""
    tenant: str = ""
    """The namespace that the connections are for."""

    @contextmanager
    def guard(self, host: str) -> Iterator["Guard"]:
        """Refuse all other addresses within the block; `host` is the server's name in its URL."""
        _install()
        guard = Guard(self, host)
        token = _GUARD.set(guard)
        try:
            yield guard
        finally:
            _GUARD.reset(token)

    def allow(self, host: str, address: IPAddress) -> bool:
        """Tell whether the operator may connect to this address of a host. Pure."""
        meant = _embedded(address) or address
        if not self.local_addresses and any(meant in network for network in _LOCAL):
            return False
        return not self.hosts or any(_matches(pattern, host, meant) for pattern in self.hosts)


ANYWHERE = Destinations(local_addresses=True)
"""All addresses, for a client whose address is not from a tenant's Secret."""


class Guard:
    """Checks each connection while it is set."""

    def __init__(self, destinations: Destinations, host: str) -> None:
        """Store the settings, and the host as the URL or another server names it."""
        self.refused = False
        """Whether an address was refused."""
        self.resolved = False
        """Whether the host was resolved and a connection to it has started."""
        self.tenant = destinations.tenant
        """The namespace that the connection is for."""
        self._destinations = destinations
        self._host = host

    def check(self, address: object) -> None:
        """Raise AddressNotAllowedError if the operator may not connect to this address."""
        found = _ip_address(address)
        if found is None or not self._destinations.allow(self._host, found):
            self.refused = True
            raise AddressNotAllowedError
        self.resolved = True


def connecting_tenant() -> str | None:
    """Return the namespace that a connection is being made for; None: there is none, or it is the operator's own."""
    guard = _GUARD.get()
    return None if guard is None else guard.tenant


def is_host_pattern(pattern: str) -> bool:
    """Tell whether a text is a name, `*.` and a domain, an address or a network."""
    name = pattern.removeprefix("*.")
    return _network(pattern) is not None or (bool(name) and not set(name) & set("*/:@ "))


_GUARD: ContextVar[Guard | None] = ContextVar("guard", default=None)
_installed: list[bool] = []


def _install() -> None:
    """Add the audit hook once; Python cannot remove it."""
    if not _installed:
        _installed.append(True)
        sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect" and (guard := _GUARD.get()) is not None:
        guard.check(arguments[1])


def _ip_address(address: object) -> IPAddress | None:
    """Return the IP address of a connection; None: it has none, such as a Unix socket."""
    if not isinstance(address, tuple) or not address or not isinstance(address[0], str):
        return None
    try:
        return ipaddress.ip_address(address[0].partition("%")[0])
    except ValueError:
        return None


def _embedded(address: IPAddress) -> IPAddress | None:
    """Return the IPv4 address that is embedded in an IPv6 address, or None."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _matches(pattern: str, host: str, address: IPAddress) -> bool:
    network = _network(pattern)
    if network is not None:
        return address in network
    name = host.casefold().removesuffix(".")
    if pattern.startswith("*."):
        return name.endswith(pattern[1:].casefold())
    return name == pattern.casefold()


def _network(pattern: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(pattern)
    except ValueError:
        return None
