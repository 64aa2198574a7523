"""Certificates and keys of Secrets, which stay in memory."""

import os
import ssl
from dataclasses import dataclass, field

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """The contents of the Secrets under a `tls` of a target, in PEM."""

    authorities: str | None = field(default=None, repr=False)
    """The only accepted authorities of the server's certificate; None: those of the operating system."""
    client: str | None = field(default=None, repr=False)
    """The client certificate with its chain and its key."""


class MemoryFile:
    """A file in memory, because Python's ssl reads client certificates and keys from files only."""

    def __init__(self, pem: str) -> None:
        """Write the text to the file; raises ValueError if it is not ASCII."""
        content = pem.encode("ascii")
        self._handle: int | None = os.memfd_create("certificate")
        self.path = f"/proc/self/fd/{self._handle}"
        with open(self._handle, "wb", closefd=False) as file:
            file.write(content)

    def close(self) -> None:
        """Close the file, which deletes it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def client_context(certificates: Certificates, *, where: str) -> ssl.SSLContext:
    """Return an SSL context with these certificates that verifies the server's certificate and host.

    Args:
        certificates: as read from the Secrets.
        where: the field of the target that names the Secrets, for the error.

    Raises:
        RecoveryError: `InvalidCertificate`.
    """
    try:
        context = ssl.create_default_context(cadata=certificates.authorities)
        if certificates.client is not None:
            file = MemoryFile(certificates.client)
            try:
                # Without a password, OpenSSL prompts on the terminal for that of an encrypted key.
                context.load_cert_chain(file.path, password="")
            finally:
                file.close()
    except (ssl.SSLError, ValueError, TypeError):  # ValueError or TypeError: the text is not ASCII
        raise RecoveryError(
            Reason.INVALID_CERTIFICATE,
            f"a Secret under {where} of the target has no certificate in PEM, or a key that does not match it or is "
            "encrypted. Store a certificate and an unencrypted key, as cert-manager and kubectl create secret tls do",
        ) from None
    return context
