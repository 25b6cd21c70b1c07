"""Where in an output something is, and the error that names it."""

from __future__ import annotations

from attrs import define

__all__ = ["ROOT", "OutputFailure", "Place"]


class OutputFailure(Exception):
    """An output cannot be sent. The text begins with the place, as in `output.scores[3]: ...`."""


@define(eq=False)  # a frozen one takes three times as long to make, and a walk makes many
class Place:
    """A step from the place around it: a key, an index, or the name of the whole."""

    parent: Place | None
    step: object

    def __str__(self) -> str:
        if self.parent is None:
            return str(self.step)
        if isinstance(self.step, str) and self.step.isidentifier():
            return f"{self.parent}.{self.step}"
        return f"{self.parent}[{self.step!r}]"

    def failure(self, reason: str) -> OutputFailure:
        """The error that says what is wrong here."""
        return OutputFailure(f"{self}: {reason}")


ROOT = Place(None, "output")
"""The output as a whole."""
