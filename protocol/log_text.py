"""The longest log message that may travel (`spec/protocol.md` 4)."""

from __future__ import annotations

from protocol.limits import LOG_MAX, LOG_TRUNCATED_NOTICE

__all__ = ["cut_log"]


def cut_log(text: str) -> str:
    """`text`, cut to 4 MiB of UTF-8 on a character boundary, with coglet's notice at its end.

    Lone surrogates, which UTF-8 cannot say, become question marks.
    """
    if len(text) <= LOG_MAX and text.isascii():
        return text
    data = text.encode("utf-8", "replace")
    if len(data) <= LOG_MAX:
        return data.decode()
    return data[: LOG_MAX - len(LOG_TRUNCATED_NOTICE)].decode("utf-8", "ignore") + (
        LOG_TRUNCATED_NOTICE
    )
