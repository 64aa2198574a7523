"""Which URLs of a job store are accepted, and what of them reaches the driver.

A URL is written by any user who may write the Secret, who need not be the one who runs the operator. So it may name
servers and carry credentials of its own, but may not make the driver read the operator's files, show the operator's own
identity (cloud roles, Kerberos tickets, Kubernetes tokens) to a server of the author's choice, or spend the operator's
sockets and processor.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus, urlsplit

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import NotYet
from queue_recovery.recovery.strict_url import is_strict

_SCHEMES: Final = ("mongodb://", "mongodb+srv://")
_MECHANISMS: Final = frozenset({"SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN", "DEFAULT"})
"""Those that prove what is in the URL itself, and nothing of the machine's."""

_PASSED: Final = (
    "authMechanism",
    "authSource",
    "directConnection",
    "loadBalanced",
    "replicaSet",
    "retryReads",
    "retryWrites",
    "srvMaxHosts",
    "srvServiceName",
    "ssl",
    "tls",
    "tlsAllowInvalidCertificates",
    "tlsAllowInvalidHostnames",
    "tlsInsecure",
)
"""What the driver is given of a URL's options: where the servers are, and how to log in.

All others are without effect: they tune the application's own connections (pools, heartbeats, compressors, timeouts,
concerns), and the operator has its own values. The driver shows the values of those that it does not know in warnings.
"""

_DEFAULT_PORT: Final = 27017

_MOST_HOSTS: Final = 50
"""The most members that a replica set can have."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_ENABLING: Final = {"tlsallowinvalidcertificates", "tlsallowinvalidhostnames", "tlsinsecure"}
"""Options of which the value false turns TLS on."""

_FILES: Final = ("tlsCAFile", "tlsCertificateKeyFile", "tlsCertificateKeyFilePassword", "tlsCRLFile")


def refused(what: str) -> NotYet:
    """Make the error for a URL that cannot be used.

    Args:
        what: why, without any part of the URL but names of options on a fixed list.
    """
    return NotYet(Reason.INVALID_JOB_STORE_URL, f"the job store's URL {what}; correct the URL")


def prepare(url: str) -> str:
    """Return the URL that the driver is given: the same servers and login, with only the options that are passed.

    Whether it is a good URL otherwise is for the driver to say.

    Raises:
        NotYet: `InvalidJobStoreURL`: it would make the operator give away more than what the URL says itself.
    """
    scheme = next((scheme for scheme in _SCHEMES if url.startswith(scheme)), None)
    if scheme is None:
        raise refused("begins with neither mongodb:// nor mongodb+srv://")
    # Cut exactly as the driver does: at the first question mark, then at the last @ before the first slash.
    address, _, query = url.removeprefix(scheme).partition("?")
    if "@" in query:
        raise refused("has an '@' after the '?': a '?' in the password is written %3F")
    if _CONTROL.search(unquote_plus(address)):
        raise refused("contains a control character, such as a line break, in its user, password or host")
    hosts = [unquote_plus(host) for host in address.partition("/")[0].rpartition("@")[2].split(",")]
    if any("/" in host or host.casefold().endswith(".sock") for host in hosts):
        raise refused("names a socket file instead of a server")
    if len(hosts) > _MOST_HOSTS:
        raise refused(f"lists more than {_MOST_HOSTS} servers")
    options = _options(query)
    for name in _FILES:
        if name.lower() in options:
            raise refused(f"has the option {name}, which reads a file of the operator's container")
    if unquote_plus(options.get("authmechanism", "DEFAULT")).upper() not in _MECHANISMS:
        raise refused("asks for an authMechanism other than SCRAM-SHA-1, SCRAM-SHA-256 and PLAIN")
    passed = "&".join(f"{name}={options[name.lower()]}" for name in _PASSED if name.lower() in options)
    path = address if "/" in address else f"{address}/"
    return f"{scheme}{path}?{passed}" if passed else f"{scheme}{path}"


def shown_servers(url: str) -> frozenset[tuple[str, int]]:
    """Return hosts and ports of a URL, as the driver has them, that a message may show; see `recovery/strict_url.py`.

    The servers of mongodb+srv:// are not in the URL, so none is shown.
    """
    if not url.startswith(_SCHEMES[0]) or not is_strict(url):
        return frozenset()
    servers = re.split("[/?]", url.removeprefix(_SCHEMES[0]).rpartition("@")[2])[0].split(",")
    found = [urlsplit(f"//{server}") for server in servers]
    return frozenset((one.hostname or "", one.port or _DEFAULT_PORT) for one in found)


@dataclass(frozen=True, kw_only=True)
class TLSOptions:
    """What a URL says of TLS."""

    enabled: bool | None
    """None: it does not say."""
    certificate: bool
    """Whether the server's certificate is checked."""
    host: bool
    """Whether the host in it is checked."""


def tls_options(prepared: str) -> TLSOptions:
    """Return what a URL that `prepare` has returned says of TLS, as the driver reads it."""
    options = _options(prepared.partition("?")[2])
    values = {name.lower(): options[name.lower()] == "true" for name in _PASSED if name.lower() in options}
    insecure = values.get("tlsinsecure", False)
    certificate = not values.get("tlsallowinvalidcertificates", insecure)
    host = not values.get("tlsallowinvalidhostnames", insecure)
    enabled = values.get("tls", values.get("ssl"))
    if enabled is None and (prepared.startswith("mongodb+srv://") or not all(map(values.get, _ENABLING & set(values)))):
        enabled = True
    return TLSOptions(enabled=enabled, certificate=certificate, host=certificate and host)


def _options(query: str) -> dict[str, str]:
    """Return the options' values as they are written, by their names in lower case; of two with one name the last."""
    if not query:
        return {}
    pairs = [pair.split("=") for pair in query.split("&" if "&" in query else ";")]
    if ("&" in query and ";" in query) or any(len(pair) != 2 for pair in pairs):  # noqa: PLR2004 - a name and a value
        raise refused("has options that are not written as name=value&name=value")
    return {name.lower(): value for name, value in pairs}
