"""Every error says whose fault it is."""

from __future__ import annotations

import pytest

from protocol import errors
from protocol.errors import LocalProtocolError, ProtocolError, RemoteProtocolError

CONCRETE = [
    getattr(errors, name)
    for name in errors.__all__
    if name not in ("ProtocolError", "LocalProtocolError", "RemoteProtocolError")
]


@pytest.mark.parametrize("kind", CONCRETE)
def test_an_error_is_either_ours_or_theirs(kind: type[ProtocolError]) -> None:
    assert issubclass(kind, LocalProtocolError) != issubclass(kind, RemoteProtocolError)


@pytest.mark.parametrize("kind", [ProtocolError, LocalProtocolError, RemoteProtocolError])
def test_the_bases_are_not_raised(kind: type[ProtocolError]) -> None:
    with pytest.raises(TypeError, match=kind.__name__):
        kind("something")


def test_a_long_type_name_does_not_flood_the_log() -> None:
    error = errors.UnknownMessageType("x" * 10_000)
    assert error.type_name == "x" * 10_000
    assert len(str(error)) < 200
