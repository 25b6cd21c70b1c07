"""The worker: loads the model, runs its predictions, says on the wire what comes of them."""

from __future__ import annotations

__version__ = "0.1.0"
"""Sent to the supervisor; the model's environment holds no metadata of our distribution."""
