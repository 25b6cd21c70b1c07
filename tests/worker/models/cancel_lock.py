"""Waiting for a lock is interrupted."""

import threading


class Predictor:
    def predict(self, seconds: float) -> str:
        lock = threading.Lock()
        lock.acquire()
        got = None
        try:
            print("started", flush=True)
            got = lock.acquire(timeout=seconds)
        finally:
            print("got", got)
        return "done"
