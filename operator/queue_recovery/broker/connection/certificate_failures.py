"""Tell from a connection's error what is wrong with a certificate, the broker's or the operator's."""

import re
import ssl

from redis import exceptions

_NOT_TRUSTED = (
    "the operator does not trust the authority that signed the broker's certificate; put the authority's certificate "
    "into a Secret, and set broker.tls.caSecretRef in the target to it"
)
_OTHER_HOST = (
    "the broker's certificate is for another host; correct the host in the URL, or issue a certificate for it (with "
    "Sentinel, for the addresses that the Sentinels return)"
)
_UNTRUSTED = {
    9: "the broker's certificate is not valid yet; check it, and the clocks",
    10: "the broker's certificate has expired; renew it",
    62: _OTHER_HOST,
    64: _OTHER_HOST,
}
"""By OpenSSL's verify code (`X509_V_ERR_*`)."""

_ALERT = re.compile(r"_ALERT_([A-Z_]+)")

_REFUSED = {
    "CERTIFICATE_REQUIRED": "the broker requires a client certificate; put one into a Secret, and set "
    "broker.tls.clientCertificateSecretRef in the target to it",
    "CERTIFICATE_EXPIRED": "the operator's client certificate has expired; renew the Secret that "
    "broker.tls.clientCertificateSecretRef names",
    "UNKNOWN_CA": "the broker does not trust the authority of the operator's client certificate; put one that it "
    "trusts into the Secret that broker.tls.clientCertificateSecretRef names",
}
"""By the TLS alert that the broker sent."""

# Before TLS 1.3 a client without a certificate receives this alert.
_REFUSED["HANDSHAKE_FAILURE"] = _REFUSED["CERTIFICATE_REQUIRED"]

_CLOSED = (
    "the broker closes the connection right after the TLS handshake, so it probably requires a client certificate, or "
    "another one; check broker.tls.clientCertificateSecretRef in the target"
)


class ClosedAfterHandshakeError(exceptions.ConnectionError):
    """The broker closed a connection after the TLS handshake and before the first command."""


def certificate_refused(error: BaseException | None) -> str | None:
    """Return what is wrong with a certificate, or None if the error has another cause."""
    closed = None
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return _UNTRUSTED.get(error.verify_code, _NOT_TRUSTED)
        if isinstance(error, ssl.SSLError):
            # `[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] ...`; the attribute `reason` is not always there.
            alert = _ALERT.search(str(error))
            return _REFUSED.get(alert[1]) if alert else None
        if isinstance(error, ClosedAfterHandshakeError):
            closed = _CLOSED
        error = error.__cause__ or error.__context__
    return closed
