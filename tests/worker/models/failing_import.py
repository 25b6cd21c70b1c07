"""A model that cannot be imported: what it said before is told, and why it failed."""

print("importing")

import a_module_that_is_not_there  # noqa

def run() -> str:
    return ""
