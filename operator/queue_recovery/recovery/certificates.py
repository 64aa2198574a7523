"""What Secrets hold for TLS, which stays in memory."""

import os
import ssl
from dataclasses import dataclass, field

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """What the Secrets under a `tls` of a target hold, in PEM."""

    authorities: str | None = field(default=None, repr=False)
    """The only ones that may have signed the server's certificate; None: those that this machine trusts."""
    client: str | None = field(default=None, repr=False)
    """The certificate that the server is shown, with its chain and its key."""


class MemoryFile:
    """A file without a disk: Python's ssl takes certificates and keys from files only."""

    def __init__(self, pem: str) -> None:
        """Write it; raises ValueError for what is not ASCII."""
        content = pem.encode("ascii")
        self._handle: int | None = os.memfd_create("certificate")
        self.path = f"/proc/self/fd/{self._handle}"
        with open(self._handle, "wb", closefd=False) as file:
            file.write(content)

    def close(self) -> None:
        """Forget it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def client_context(certificates: Certificates, *, where: str) -> ssl.SSLContext:
    """Return a context that trusts and shows these certificates, and checks the server's certificate and host.

    Args:
        certificates: as the Secrets hold them.
        where: the field of the target that names the Secrets, for the error.

    Raises:
        RecoveryError: `InvalidCertificate`.
    """
    try:
        context = ssl.create_default_context(cadata=certificates.authorities)
        if certificates.client is not None:
            file = MemoryFile(certificates.client)
            try:
                # OpenSSL asks the terminal for the password of a key that has one, unless it is given one.
                context.load_cert_chain(file.path, password="")
            finally:
                file.close()
    except (ssl.SSLError, ValueError, TypeError):  # the latter for what is not ASCII
        raise RecoveryError(
            Reason.INVALID_CERTIFICATE,
            f"a Secret under {where} of the target has no certificate in PEM, or a key that does not match it or is "
            "encrypted. Store a certificate and an unencrypted key, as cert-manager and kubectl create secret tls do",
        ) from None
    return context
