from cog import BasePredictor, current_scope


class Predictor(BasePredictor):
    def predict(self, wrong: bool = False) -> str:
        scope = current_scope()
        scope.record_metric("tokens", 3)
        scope.record_metric("tokens", 2, mode="incr")
        scope.record_metric("timing.load", 0.25)
        scope.record_metric("history", "a", mode="append")
        scope.record_metric("history", "b", mode="append")
        scope.metrics["gone"] = 1
        del scope.metrics["gone"]
        if wrong:
            scope.record_metric("predict_time", 1)
        return str(scope.context.get("who"))
