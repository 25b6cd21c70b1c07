"""Lines that are drawn again and again, as a progress bar is: what of them is worth a log line.

A carriage return sends the pen back to the start of the line, and what is written next takes the
place of what was there. A log has no such pen: each state of a bar would stay in it for ever.
"""

from __future__ import annotations

__all__ = ["drawing", "last_drawing", "settled"]


def drawing(line: str) -> str:
    """What can be read on a line that was drawn, without the blanks at its end.

    It is what follows the last carriage return; one at the very end has not been drawn over yet.
    """
    drawn = line.rstrip("\r")
    return drawn[drawn.rfind("\r") + 1 :].rstrip()


def last_drawing(line: str) -> str:
    """The end of a line that is being drawn: as much as `drawing` needs to know of it."""
    start = line.rfind("\r", 0, len(line.rstrip("\r")))
    return line[max(start, 0) :]


def settled(line: str) -> str:
    """A whole line, without its newline, as it is logged.

    Where a carriage return only ends it, as on Windows, nothing was drawn, and it stays.
    """
    return drawing(line) if "\r" in line.rstrip("\r") else line
