"""Signatures by which a receiver knows that a webhook is ours and unchanged (Standard Webhooks)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final

__all__ = ["parse_secrets", "signature_headers"]

_PREFIX: Final = "whsec_"
_LEAST: Final = 24
_MOST: Final = 64
"""Bytes of a secret, as Standard Webhooks wants them."""


def parse_secrets(text: str) -> tuple[bytes, ...]:
    """The keys in `text`: one, or several with spaces or commas between.

    Raises:
        ValueError: one is no secret. The text does not repeat it.
    """
    words = [word for word in re.split(r"[\s,]+", text) if word]
    if not words:
        raise ValueError(f"there is no secret in it ({_PREFIX}...)")
    return tuple(_key(word) for word in words)


def _key(word: str) -> bytes:
    encoded = word.removeprefix(_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        key = b""
    if not _LEAST <= len(key) <= _MOST:
        raise ValueError(
            f"a secret is {_PREFIX} and then {_LEAST} to {_MOST} bytes in base64 (not shown here); "
            f'make one: echo "{_PREFIX}$(openssl rand -base64 32)"'
        )
    return key


def signature_headers(
    keys: tuple[bytes, ...], message_id: str, timestamp: int, body: bytes | bytearray
) -> dict[str, str]:
    """The three headers of Standard Webhooks, with one signature for each key.

    Args:
        keys: what `parse_secrets` found.
        message_id: the same for every try of one message, and for no other one.
        timestamp: when this try is made, in seconds since 1970.
        body: what is sent.
    """
    signed = f"{message_id}.{timestamp}.".encode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(key, signed, body) for key in keys),
    }


def _signature(key: bytes, signed: bytes, body: bytes | bytearray) -> str:
    digest = hmac.new(key, signed, hashlib.sha256)
    digest.update(body)  # lets go of the interpreter while it works on a big one
    return "v1," + base64.b64encode(digest.digest()).decode()
