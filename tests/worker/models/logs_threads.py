"""What threads print is in the logs."""

import threading


class Predictor:
    def predict(self) -> str:
        for number in range(3):
            thread = threading.Thread(target=print, args=("thread", number))
            thread.start()
            thread.join()
        return "done"
