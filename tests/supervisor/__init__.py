"""The supervisor's tests; `fake_worker` is the worker that those of its task trees share."""
