"""What a thread prints after its prediction is in the worker's log, not in the next one's."""

import threading


class Predictor:
    def setup(self):
        self.go = threading.Event()
        self.thread = None

    def predict(self, do: str) -> str:
        if do == "start":
            self.thread = threading.Thread(target=self.wait_and_say)
            self.thread.start()
        if do == "end":
            print("the next one")
        return do

    def wait_and_say(self):
        self.go.wait(30)
        print("late")

    def healthcheck(self) -> bool:
        self.go.set()
        if self.thread is not None:
            self.thread.join()
        return True
