"""Text that UTF-8 cannot say is printed somehow."""


class Predictor:
    def predict(self) -> str:
        print("half \ud800")
        return "done"
