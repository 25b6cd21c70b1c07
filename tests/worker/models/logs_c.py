"""What C code prints is in the logs."""

import ctypes

libc = ctypes.CDLL(None)


class Predictor:
    def predict(self) -> str:
        print("before")
        libc.puts(b"from C")
        libc.fflush(None)
        print("after")
        return "done"
