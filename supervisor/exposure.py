"""Who can reach the server where it listens, and warnings where that is likely a mistake."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from supervisor.config import Config

__all__ = ["exposure_notices", "is_loopback"]


def is_loopback(host: str) -> bool:
    """Whether an address leads to this machine only; a name other than `localhost` may not."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def exposure_notices(config: Config, environ: Mapping[str, str]) -> list[str]:
    """What an operator should hear about the address, one sentence each."""
    if config.uds is not None:
        return []
    if is_loopback(config.host):
        if "KUBERNETES_SERVICE_HOST" not in environ:
            return []
        notice = (
            f"this is a Kubernetes pod, and the server listens on {config.host} only: probes and "
            "other pods cannot reach it; serve with --host 0.0.0.0"
        )
        return [notice]
    if config.auth_token is not None:
        return []
    notice = (
        f"whoever reaches {config.host} can run predictions and end the server: set --auth-token, "
        "or listen on 127.0.0.1"
    )
    return [notice]
