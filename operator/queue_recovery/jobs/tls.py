"""TLS to a job store, with the certificates of a target's Secrets, which stay in memory."""

from dataclasses import dataclass, field
from typing import Any, Self

from queue_recovery.jobs.url import TLSOptions, refused
from queue_recovery.recovery.certificates import Certificates, MemoryFile, client_context


@dataclass
class TLS:
    """What the driver is given, and what of it has to be closed when the client is."""

    options: dict[str, Any] = field(default_factory=dict, repr=False)
    encrypted: bool = False
    unverified: str | None = None
    """How the operator speaks to the server if it cannot know that it is the right one."""
    files: list[MemoryFile] = field(default_factory=list, repr=False)
    """Read by the driver again when it has looked up the servers of a mongodb+srv URL."""

    @classmethod
    def of(cls, said: TLSOptions, certificates: Certificates | None) -> Self:
        """Return what a URL and the target's `jobStore.mongodb.tls` say together.

        Raises:
            NotYet: `InvalidJobStoreURL` where they contradict each other, `InvalidCertificate`.
        """
        if certificates is None:
            encrypted = bool(said.enabled)
            return cls(encrypted=encrypted, unverified=_unverified(said, encrypted=encrypted))
        if said.enabled is False:
            raise refused("turns TLS off, and the target has jobStore.mongodb.tls: take one of them out")
        if certificates.authorities is not None and not said.certificate:
            raise refused(
                "turns the check of certificates off, and the target has jobStore.mongodb.tls.caSecretRef: take "
                "tlsInsecure or tlsAllowInvalidCertificates out"
            )
        client_context(certificates, where="jobStore.mongodb.tls")
        made = cls(options={"tls": True}, encrypted=True, unverified=_unverified(said, encrypted=True))
        if certificates.authorities is not None:
            made.options["tlsCAFile"] = made._hold(certificates.authorities)
        if certificates.client is not None:
            made.options["tlsCertificateKeyFile"] = made._hold(certificates.client)
            # OpenSSL asks the terminal for the password of a key that has one, unless it is given one.
            made.options["tlsCertificateKeyFilePassword"] = ""
        return made

    def close(self) -> None:
        """Forget the certificates."""
        for file in self.files:
            file.close()

    def _hold(self, pem: str) -> str:
        self.files.append(MemoryFile(pem))
        return self.files[-1].path


def _unverified(said: TLSOptions, *, encrypted: bool) -> str | None:
    if not encrypted:
        return "without TLS"
    if not said.certificate:
        return "without checking its certificate (tlsInsecure or tlsAllowInvalidCertificates)"
    if not said.host:
        return "without checking the host in its certificate (tlsInsecure or tlsAllowInvalidHostnames)"
    return None
