"""Accept or refuse the URL of a job store, and pass on only safe options to the driver.

Any user who may write the Secret writes the URL, and that is not always the one who runs the operator. So a URL may
name servers and carry credentials of its own. It may not make the driver read the operator's files, present the
operator's own identity (cloud roles, Kerberos tickets, Kubernetes tokens) to a server of the author's choice, or
exhaust the operator's sockets and CPU.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus, urlsplit

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.strict_url import is_strict

_SCHEMES: Final = ("mongodb://", "mongodb+srv://")
_MECHANISMS: Final = frozenset({"SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN", "DEFAULT"})
"""Those that use the credentials in the URL only, and none of the machine's."""

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
"""The options of a URL that the driver gets: where the servers are, and how to log in.

All others have no effect: they tune the application's own connections (pools, heartbeats, compressors, timeouts,
concerns), and the operator has its own values. The driver shows the values of unknown options in warnings.
"""

_DEFAULT_PORT: Final = 27017

_MAX_HOSTS: Final = 50
"""The most members that a replica set can have."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_ENABLING: Final = {"tlsallowinvalidcertificates", "tlsallowinvalidhostnames", "tlsinsecure"}
"""Options that turn TLS on if their value is false."""

_FILES: Final = ("tlsCAFile", "tlsCertificateKeyFile", "tlsCertificateKeyFilePassword", "tlsCRLFile")


def refused(what: str) -> RecoveryError:
    """Return the error of a URL that cannot be used.

    Args:
        what: why; of the URL it may contain the names of known options only.
    """
    return RecoveryError(Reason.INVALID_JOB_STORE_URL, f"the job store's URL {what}. Correct the URL")


def prepare(url: str) -> str:
    """Return the URL for the driver: same servers and login, safe options only.

    The driver itself refuses a URL that is invalid in other ways.

    Raises:
        RecoveryError: `InvalidJobStoreURL`: it would make the operator disclose more than what the URL itself contains.
    """
    scheme = next((scheme for scheme in _SCHEMES if url.startswith(scheme)), None)
    if scheme is None:
        raise refused("begins with neither mongodb:// nor mongodb+srv://")
    # Cut exactly as the driver does: at the first question mark, then at the last @ before the first slash.
    address, _, query = url.removeprefix(scheme).partition("?")
    if "@" in query:
        raise refused('has "@" after "?": write "?" in the password as %3F')
    if _CONTROL.search(unquote_plus(address)):
        raise refused("contains a control character, such as a line break, in its user, password or host")
    hosts = [unquote_plus(host) for host in address.partition("/")[0].rpartition("@")[2].split(",")]
    if any("/" in host or host.casefold().endswith(".sock") for host in hosts):
        raise refused("names a socket file instead of a server")
    if len(hosts) > _MAX_HOSTS:
        raise refused(f"lists more than {_MAX_HOSTS} servers")
    options = _options(query)
    for name in _FILES:
        if name.lower() in options:
            raise refused(f"has the option {name}, which reads a file of the operator's container")
    if unquote_plus(options.get("authmechanism", "DEFAULT")).upper() not in _MECHANISMS:
        raise refused("has an authMechanism other than SCRAM-SHA-1, SCRAM-SHA-256 and PLAIN")
    passed = "&".join(f"{name}={options[name.lower()]}" for name in _PASSED if name.lower() in options)
    path = address if "/" in address else f"{address}/"
    return f"{scheme}{path}?{passed}" if passed else f"{scheme}{path}"


def shown_servers(url: str) -> frozenset[tuple[str, int]]:
    """Return the hosts and ports of a URL that a message may show.

    They are written as the driver writes them; `recovery/strict_url.py` says which may be shown. The servers of
    mongodb+srv:// are not in the URL, so none is shown.
    """
    if not url.startswith(_SCHEMES[0]) or not is_strict(url):
        return frozenset()
    servers = re.split("[/?]", url.removeprefix(_SCHEMES[0]).rpartition("@")[2])[0].split(",")
    found = [urlsplit(f"//{server}") for server in servers]
    return frozenset((one.hostname or "", one.port or _DEFAULT_PORT) for one in found)


@dataclass(frozen=True, kw_only=True)
class TLSOptions:
    """The TLS settings in a URL."""

    enabled: bool | None
    """None: the URL does not say."""
    certificate: bool
    """Whether the server's certificate is checked."""
    host: bool
    """Whether the host in it is checked."""


def tls_options(prepared: str) -> TLSOptions:
    """Return the TLS settings of a URL from `prepare`, as the driver reads them."""
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
    """Return the raw values of the options by lower-case name; the last one wins."""
    if not query:
        return {}
    pairs = [pair.split("=") for pair in query.split("&" if "&" in query else ";")]
    if ("&" in query and ";" in query) or any(len(pair) != 2 for pair in pairs):  # noqa: PLR2004 - a name and a value
        raise refused("has options that are not written as name=value&name=value")
    return {name.lower(): value for name, value in pairs}
