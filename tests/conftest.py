"""Settings of all tests."""

from __future__ import annotations

import signal

from hypothesis import settings

# An example that takes long on a busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Under nohup the servers that are tested would inherit that SIGHUP is ignored, and rightly go on
# when they get one. A handler keeps this process alive as well, and children do not inherit it.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)
