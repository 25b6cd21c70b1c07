"""Metrics: set, added up, appended, nested, deleted."""

from cog import BaseRunner, current_scope


class Predictor(BaseRunner):
    def run(self) -> str:
        scope = current_scope()
        scope.record_metric("tokens", 3)
        scope.record_metric("tokens", 2, mode="incr")
        scope.record_metric("timing.load", 0.25)
        scope.record_metric("history", "a", mode="append")
        scope.record_metric("history", "b", mode="append")
        scope.metrics["gone"] = True
        del scope.metrics["gone"]
        scope.metrics["set"] = {"any": [1, "value"]}
        self.record_metric("by_the_runner", 1)
        return repr(scope)
