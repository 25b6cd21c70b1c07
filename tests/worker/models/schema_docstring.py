"""Without any SDK: the schema has the types, limits and descriptions that the function gives."""

from typing import Annotated, Literal, Optional

from annotated_types import Ge, Le


def run(
    steps: Annotated[int, Ge(1), Le(10)],
    style: Literal["photo", "art"] = "photo",
    seed: Optional[int] = None,
) -> list[str]:
    """Draw a picture.

    Args:
        steps: How many steps to take.
    """
    return [f"{steps} {style} {seed}"]
