"""Every size of the wire, with its source. All are coglet's unless said otherwise."""

from __future__ import annotations

from typing import Final

FRAME_MAX: Final = 8 * 1024 * 1024
"""Bytes of JSON in one frame (`spec/protocol.md` 1); a longer one ends the channel."""

HEADER_SIZE: Final = 4
"""Bytes of the length that precedes each frame: unsigned, big-endian."""

INLINE_MAX: Final = 6 * 1024 * 1024
"""Bytes of JSON that travel inside a frame; one byte more goes to a spill file (section 3)."""

LOG_MAX: Final = 4 * 1024 * 1024
"""Bytes of UTF-8 in the data of one log message, the notice included (section 4)."""

LOG_TRUNCATED_NOTICE: Final = "[**** LOG LINE TRUNCATED AT 4 MiB ****]"
"""What a log message that was cut ends with (section 4)."""

SOCKET_PATH_MAX: Final = 107
"""Bytes of a Unix socket's path: `sun_path` of Linux holds 108, the last of them NUL."""

PROTOCOL_VERSION: Final = 1
"""What a worker of 0.20 and later announces on each slot (section 2)."""

CAPTURE_PIPE: Final = 1024 * 1024
"""Bytes that the pipe behind the worker's fd 1 and 2 holds, if the system allows it: as much as
Linux lets an unprivileged process ask for (`/proc/sys/fs/pipe-max-size`). Ours."""

LEVELS_MAX: Final = 127
"""Arrays and objects inside each other, the outermost included: what coglet's worker reads."""
