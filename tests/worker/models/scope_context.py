"""A prediction sees the context of its request, and no other's."""

from cog import current_scope


def run() -> dict:
    return dict(current_scope().context)
