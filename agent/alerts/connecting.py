"""TLS for a broker's connection, and in one line what can go wrong on the way to it."""

from __future__ import annotations

import socket
import ssl

from agent.alerts.settings import TlsSettings
from agent.errors import BrokerError

CONNECT_TIMEOUT_S = 5.0
_TLS_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class _TlsSocket(ssl.SSLSocket):
    """paho leaves a socket open whose handshake failed."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def tls_context(tls: TlsSettings) -> ssl.SSLContext:
    """A context that verifies the broker's certificate and name.

    Raises:
        BrokerError: a PEM file is missing or no PEM file.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        context.sslsocket_class = _TlsSocket
        context.minimum_version = _TLS_VERSIONS[tls.min_version]
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise BrokerError(
            "broker.tls", f"expected PEM files, got {error}", "check ca, cert and key"
        ) from error
    return context


def unreachable(where: str, error: OSError | ValueError, *, tls: bool) -> BrokerError:
    """The one line that tells a user why there is no connection."""
    if isinstance(error, socket.gaierror):
        return BrokerError(where, "expected a known host, got an unknown name", "check broker.url")
    if isinstance(error, ConnectionRefusedError):
        return BrokerError(
            where, "expected a broker, got connection refused", "start the broker or correct broker.url"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return BrokerError(
            where,
            f"expected a certificate that can be verified, got `{error.verify_message}`",
            "set broker.tls.ca to its authority",
        )
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).lower().replace("_", " ")
        return BrokerError(where, f"expected TLS, got `{reason}`", "check scheme and port of broker.url")
    if tls and isinstance(error, ConnectionError):
        return BrokerError(
            where, "expected TLS, got the connection closed", "check scheme and port of broker.url"
        )
    if isinstance(error, TimeoutError):
        return BrokerError(where, f"expected a broker, got no answer in {CONNECT_TIMEOUT_S:g} s")
    return BrokerError(where, f"expected a connection, got `{getattr(error, 'strerror', None) or error}`")


def refusal(where: str, reason: str) -> BrokerError:
    """The one line for a broker that answers CONNECT with a reason against it."""
    if reason in ("Bad user name or password", "Not authorized", "Bad authentication method"):
        return BrokerError(
            where, f"expected the broker to accept the user, got `{reason}`", "check username and password"
        )
    return BrokerError(where, f"expected to be accepted, got `{reason}`")
