"""The parent process: starts the worker, talks to it, and serves its predictions over HTTP.

Imports nothing: `supervisor.__main__` must mend the module path before anything else is found.
"""
