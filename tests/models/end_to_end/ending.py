"""Ends its own process in many a way, or tells enough for a test to do it."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time


class Predictor:
    def predict(self, how: str = "none", seconds: float = 30.0) -> str:
        getattr(self, how)(seconds)
        return str(os.getpid())

    def none(self, seconds: float) -> None:
        pass

    def wait(self, seconds: float) -> None:
        print(f"waiting in {os.getpid()}", flush=True)
        time.sleep(seconds)

    def wait_uninterruptible(self, seconds: float) -> None:
        """In C code that holds the GIL."""
        print(f"waiting in {os.getpid()}", flush=True)
        ctypes.PyDLL(None).sleep(int(seconds))

    def wait_with_children(self, seconds: float) -> None:
        """One child in our group, one that has left it, one that ignores every polite signal."""
        ignore = "trap '' TERM INT HUP; while :; do sleep 300; done"
        for argv, leaves in (
            (["sleep", "300"], False),
            (["sleep", "300"], True),
            (["sh", "-c", ignore], True),
        ):
            subprocess.Popen(argv, start_new_session=leaves)
        self.wait(seconds)

    def wait_with_child_and_gil(self, seconds: float) -> None:
        subprocess.Popen(["sleep", "300"])
        self.wait_uninterruptible(seconds)

    def flood(self, seconds: float) -> None:
        """More from C code that holds the GIL than any pipe takes, and then something of ours.

        The end is plain: the worker takes over somewhere in it.
        """
        text = ("x" + "é" * 2_000_000 + "x" * 2_000_000).encode()
        ctypes.PyDLL(None).write(1, text, len(text))
        print("and out", flush=True)

    def flood_and_abort(self, seconds: float) -> None:
        """As C libraries end a process: much noise, a reason, all without the GIL's release."""
        libc = ctypes.PyDLL(None)
        libc.write(1, b"x" * 5_000_000, 5_000_000)
        # The reason and the end are one call, as in a library: between two calls from Python a
        # thread may read the reason and die with it in its hands. (Two underscores would be mangled.)
        getattr(libc, "__assert_fail")(b"CUDA error: out of luck", b"model.cu", 7, b"launch")

    def exit(self, seconds: float) -> None:
        os._exit(3)

    def abort(self, seconds: float) -> None:
        """An end by glibc, which says why on its way out.

        With the GIL held: else a thread may read the reason before the end, should that be late.
        """
        memory = ctypes.create_string_buffer(64)
        ctypes.PyDLL(None).free(ctypes.c_void_p(ctypes.addressof(memory) + 8))


class DiesAfterAnswer:
    """Its main thread is killed at its first wait for more, once an answer has been written."""

    SENDS = frozenset({"send", "sendall", "sendmsg", "write", "writev"})
    WAITS = frozenset({"recv", "recv_into", "recvmsg", "read", "readv", "select", "poll"})

    def predict(self, size: int) -> str:
        sent = False

        def watch(frame, event, function):
            nonlocal sent
            name = getattr(function, "__name__", "")
            if event == "c_return" and name in self.SENDS:
                sent = True
            elif event == "c_call" and name in self.WAITS and sent:
                os.kill(os.getpid(), signal.SIGKILL)

        threading.Timer(30, os._exit, [9]).start()  # should the worker never wait that way
        sys.setprofile(watch)
        return "x" * size
