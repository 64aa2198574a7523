"""Which URLs of a job store are accepted.

A URL is written by whoever may write the Secret, who need not be who runs the operator. So it may name servers and
carry credentials of its own, but may not make the driver read the operator's files, or show the operator's own
identity (cloud roles, Kerberos tickets, Kubernetes tokens) to a server of the author's choice.
"""

import warnings
from typing import Final

from pymongo.errors import PyMongoError
from pymongo.uri_parser import split_options

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import NotYet

_SCHEMES: Final = ("mongodb://", "mongodb+srv://")
_MECHANISMS: Final = frozenset({"SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN", "DEFAULT"})
"""Those that prove what stands in the URL itself, and nothing of the machine's."""


def refused(what: str) -> NotYet:
    """Make the error for a URL that cannot be used; `what` says why, without any part of the URL but option names."""
    return NotYet(Reason.INVALID_JOB_STORE_URL, f"the job store's URL {what}; mend it in the Secret")


def check(url: str) -> None:
    """Refuse a URL that would make the operator give away more than what the URL says itself.

    Whether it is a good URL otherwise is for the driver to say.

    Raises:
        NotYet: `InvalidJobStoreURL`.
    """
    scheme = next((scheme for scheme in _SCHEMES if url.startswith(scheme)), None)
    if scheme is None:
        raise refused("begins with neither mongodb:// nor mongodb+srv://")
    # Cut exactly as the driver does: at the first question mark, then at the last @ before the first slash.
    address, _, query = url.removeprefix(scheme).partition("?")
    if any(host.endswith(".sock") for host in address.partition("/")[0].rpartition("@")[2].split(",")):
        raise refused("names a socket file instead of a server")
    for name, value in _options(query).items():
        lower = name.lower()
        if "file" in lower:
            raise refused(f"has the option {name}, which reads a file of the operator's container")
        if lower == "authmechanism" and str(value).upper() not in _MECHANISMS:
            raise refused("asks for an authMechanism other than SCRAM-SHA-1, SCRAM-SHA-256 and PLAIN")


def _options(query: str) -> dict[str, object]:
    if not query:
        return {}
    try:
        with warnings.catch_warnings(action="ignore"):
            return dict(split_options(query, validate=False, normalize=False))
    except (PyMongoError, ValueError):
        raise refused("has options that are not written as name=value&name=value") from None
