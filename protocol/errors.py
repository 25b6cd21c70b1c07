"""Whose fault it was: an error on the wire is either ours (`Local`) or the peer's (`Remote`).

Code in this package raises the precise classes below; a task that reads a channel adds where it
happened with `RemoteProtocolError.at`.
"""

from __future__ import annotations

from typing import Self

__all__ = [
    "FrameTooLarge",
    "FrameTruncated",
    "LocalProtocolError",
    "MessageTooLarge",
    "NotJson",
    "NotUtf8",
    "ProtocolError",
    "RemoteProtocolError",
    "SpillRefused",
    "SpillTooLarge",
    "UnexpectedMessage",
    "UnknownMessageType",
    "Unserialisable",
    "WrongType",
]


class ProtocolError(Exception):
    """Base of everything that can be wrong on the wire. Not raised itself."""

    def __init__(self, message: str) -> None:
        if type(self) in _ABSTRACT:
            raise TypeError(f"{type(self).__name__} is a base class: raise one that says more")
        super().__init__(message)


class LocalProtocolError(ProtocolError):
    """We tried to send what the protocol does not allow. Not raised itself."""


class RemoteProtocolError(ProtocolError):
    """The peer sent what the protocol does not allow. Not raised itself."""

    where: str | None = None

    def at(self, channel: str, offset: int) -> Self:
        """Note where it happened: the channel's name and the frame's offset in it, in bytes."""
        self.where = f"{channel}, frame at byte {offset}"
        return self

    def __str__(self) -> str:
        """The message, after the place if it is known."""
        message = super().__str__()
        return f"{self.where}: {message}" if self.where else message


class MessageTooLarge(LocalProtocolError):
    """Our message does not fit in a frame."""


class Unserialisable(LocalProtocolError):
    """Our message holds a value that JSON cannot say."""


class FrameTooLarge(RemoteProtocolError):
    """A frame's header announces more bytes than are allowed."""


class FrameTruncated(RemoteProtocolError):
    """The channel ended inside a frame."""


class NotUtf8(RemoteProtocolError):
    """A frame holds bytes that are not UTF-8."""


class NotJson(RemoteProtocolError):
    """A frame is not one JSON document, or one nested too deeply."""


class WrongType(RemoteProtocolError):
    """A frame is JSON, but not of a message's shape."""


class UnknownMessageType(RemoteProtocolError):
    """A message of a type that this channel does not have; a newer peer may well send one."""

    def __init__(self, type_name: str) -> None:
        super().__init__(f"unknown message type {type_name[:100]!r}")
        self.type_name = type_name


class UnexpectedMessage(RemoteProtocolError):
    """A well-formed message that cannot be true now: of another prediction, of an unknown slot."""


class SpillRefused(RemoteProtocolError):
    """A spill file is not a regular file inside the folder where it has to be."""


class SpillTooLarge(SpillRefused):
    """A spill file is larger than its reader wants to read."""


_ABSTRACT = frozenset({ProtocolError, LocalProtocolError, RemoteProtocolError})
