"""`sys.exit` in async code ends the prediction, not the loop."""

import sys


class Predictor:
    async def predict(self, fail: bool = True) -> str:
        if fail:
            sys.exit(3)
        return "fine"
