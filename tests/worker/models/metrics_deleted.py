"""Recording None deletes, as the SDK's documentation says."""

from cog import current_scope


def run() -> str:
    scope = current_scope()
    scope.record_metric("kept", 1)
    scope.record_metric("gone", 1)
    scope.record_metric("gone", None)
    return "done"
