"""Outside of a prediction there is a scope that does nothing."""

from cog import BaseRunner, current_scope


class Predictor(BaseRunner):
    def setup(self):
        current_scope().record_metric("early", 1)
        self.seen = repr(current_scope()), dict(current_scope().context)

    def run(self) -> str:
        return str(self.seen)
