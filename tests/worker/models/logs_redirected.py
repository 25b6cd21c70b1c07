"""What a model redirects is its own."""

import contextlib
import io


class Predictor:
    def predict(self) -> str:
        caught = io.StringIO()
        with contextlib.redirect_stdout(caught):
            print("caught")
        print("not caught")
        return caught.getvalue()
