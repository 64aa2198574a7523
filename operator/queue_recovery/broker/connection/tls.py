"""TLS with the certificates of a target's Secrets, which are never written to a file."""

import ssl
from typing import Any

from redis import exceptions
from redis.asyncio.connection import SSLConnection
from typing_extensions import override

from queue_recovery.broker.connection.certificate_failures import ClosedAfterHandshakeError
from queue_recovery.broker.connection.guarded import GuardedConnection
from queue_recovery.broker.connection.url import Address
from queue_recovery.recovery.certificates import Certificates, client_context

_VERIFY_MODES = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}


class TLSConnection(GuardedConnection, SSLConnection):
    """A connection with a given SSL context: redis-py's own needs the client's key in a file."""

    def __init__(self, *, context: ssl.SSLContext, **options: Any) -> None:  # noqa: ANN401 - as redis-py has them
        """Store the context; the options are those of any connection."""
        super().__init__(**options)
        self.ssl_context.context = context

    @override
    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Log in.

        Raises:
            ClosedAfterHandshakeError: the connection was closed. With TLS 1.3 the server checks the client's
                certificate after the handshake, and its alert is lost if the client has sent something by then.
        """
        try:
            await super().on_connect_check_health(check_health=check_health)
        except exceptions.ConnectionError as error:
            if type(error) is exceptions.ConnectionError:  # its subclasses are answers, such as to a wrong password
                raise ClosedAfterHandshakeError from error
            raise


def ssl_context(address: Address, certificates: Certificates) -> ssl.SSLContext:
    """Return a context with these certificates that verifies what the URL asks for.

    Raises:
        RecoveryError: `InvalidCertificate`.
    """
    context = client_context(certificates, where="broker.tls")
    mode = _VERIFY_MODES[address.certificate_check]
    context.check_hostname = address.check_hostname and mode is not ssl.CERT_NONE
    context.verify_mode = mode
    return context


def unverified(address: Address, *, encrypted: bool, encrypted_sentinels: bool) -> str | None:
    """Return what is not verified of the connection to the broker; None if the server is authenticated.

    Args:
        address: what the URL says.
        encrypted: whether it speaks TLS to the server.
        encrypted_sentinels: whether it speaks TLS to the Sentinels.
    """
    if not encrypted:
        return "without TLS"
    if address.certificate_check == "none":
        return "without checking its certificate (ssl_cert_reqs=none)"
    if not address.check_hostname:
        return "without checking the host in its certificate (ssl_check_hostname=false)"
    if address.sentinels and not encrypted_sentinels:
        return "by trusting Sentinels that it asks without TLS (sentinelKwargs.ssl)"
    return None
