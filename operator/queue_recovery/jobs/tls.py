"""TLS to a job store. The certificates of a target's Secrets stay in memory."""

from dataclasses import dataclass, field
from typing import Any, Self

from queue_recovery.jobs.url import TLSOptions, refused
from queue_recovery.recovery.certificates import Certificates, MemoryFile, client_context


@dataclass
class TLS:
    """The driver's TLS options, and the files to close when the client is closed."""

    options: dict[str, Any] = field(default_factory=dict, repr=False)
    encrypted: bool = False
    unverified: str | None = None
    """How the operator speaks to the server if it cannot verify the server, such as `without TLS`."""
    files: list[MemoryFile] = field(default_factory=list, repr=False)
    """The driver reads them again when it has looked up the servers of a mongodb+srv URL."""

    @classmethod
    def of(cls, options: TLSOptions, certificates: Certificates | None) -> Self:
        """Combine the options of the URL with the target's `jobStore.mongodb.tls`.

        Raises:
            RecoveryError: `InvalidJobStoreURL` if they contradict each other, `InvalidCertificate`.
        """
        if certificates is None:
            encrypted = bool(options.enabled)
            return cls(encrypted=encrypted, unverified=_unverified(options, encrypted=encrypted))
        if options.enabled is False:
            raise refused("turns TLS off, and the target has jobStore.mongodb.tls: remove one of them")
        if certificates.authorities is not None and not options.certificate:
            raise refused(
                "turns the check of certificates off, and the target has jobStore.mongodb.tls.caSecretRef: remove "
                "tlsInsecure or tlsAllowInvalidCertificates"
            )
        client_context(certificates, where="jobStore.mongodb.tls")
        made = cls(options={"tls": True}, encrypted=True, unverified=_unverified(options, encrypted=True))
        if certificates.authorities is not None:
            made.options["tlsCAFile"] = made._hold(certificates.authorities)
        if certificates.client is not None:
            made.options["tlsCertificateKeyFile"] = made._hold(certificates.client)
            # Without a password here, OpenSSL asks the terminal for that of an encrypted key.
            made.options["tlsCertificateKeyFilePassword"] = ""
        return made

    def close(self) -> None:
        """Close the files of the certificates."""
        for file in self.files:
            file.close()

    def _hold(self, pem: str) -> str:
        self.files.append(MemoryFile(pem))
        return self.files[-1].path


def _unverified(options: TLSOptions, *, encrypted: bool) -> str | None:
    if not encrypted:
        return "without TLS"
    if not options.certificate:
        return "without checking its certificate (tlsInsecure or tlsAllowInvalidCertificates)"
    if not options.host:
        return "without checking the host in its certificate (tlsInsecure or tlsAllowInvalidHostnames)"
    return None
