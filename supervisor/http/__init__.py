"""The HTTP facade: coglet's API (`spec/http-api.md`) on top of `supervisor.interface.Service`.

Handlers take a plain request value and return a plain response value; they know nothing of Quart
or Hypercorn, so that a faster front can call them too. `app` and `server` do the rest.
"""
