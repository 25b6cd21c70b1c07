"""TLS, with the settings that Hypercorn takes for good."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hypercorn.config import Config as HypercornConfig

    from supervisor.config import Config

__all__ = ["TlsError", "tls_context"]


_NOT_PEM: Final = "it holds no certificate and key in PEM form, or the key is encrypted"
_REASONS: Final = {
    "KEY_VALUES_MISMATCH": "the key is not the certificate's",
    "NO_START_LINE": _NOT_PEM,
    "PEM_LIB": _NOT_PEM,
}


class TlsError(Exception):
    """Certificate or key cannot be used; the text is one line for the operator."""


def tls_context(config: Config, hypercorn: HypercornConfig) -> ssl.SSLContext | None:
    """What secures connections; None if the operator wants no TLS.

    Raises:
        TlsError: a file cannot be read, or is not what it should be.
    """
    if config.tls_cert is None:
        return None
    key = config.tls_key or config.tls_cert
    for option, path in (("--tls-cert", config.tls_cert), ("--tls-key", key)):
        _check_readable(option, path)
    hypercorn.certfile, hypercorn.keyfile = config.tls_cert, key
    hypercorn.keyfile_password = ""  # without one, OpenSSL would ask for it at the terminal
    hypercorn.alpn_protocols = ["http/1.1"]
    try:
        return hypercorn.create_ssl_context()
    except (OSError, ValueError) as error:
        where = config.tls_cert if key == config.tls_cert else f"{config.tls_cert} with {key}"
        raise TlsError(f"--tls-cert: {where} cannot be used: {_reason(error)}") from error


def _check_readable(option: str, path: str) -> None:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        raise TlsError(f"{option}: cannot read {path}: {error.strerror}") from error


def _reason(error: OSError | ValueError) -> str:
    """The reason, in words where OpenSSL has only a name for it."""
    if not isinstance(error, ssl.SSLError):
        return str(getattr(error, "strerror", None) or error)
    name = str(getattr(error, "reason", None) or "")
    return _REASONS.get(name) or name.lower().replace("_", " ") or _NOT_PEM
