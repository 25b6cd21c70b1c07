"""`python -m supervisor` and the console script `coglet-trio`, which do the same.

`python -m` puts the current folder first on the module path, where a model keeps its own
`protocol.py` or `click.py`. So the first lines take it off again, before any other import; the
worker, in which the model runs, gets it instead. What Python itself imports before these lines (a
`supervisor.py` in that folder, `runpy.py`) is out of reach: that is what the console script is for.
"""

from __future__ import annotations

import os
import sys

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

if __name__ == "__main__" and not sys.flags.safe_path and sys.path[:1] in ([""], [os.getcwd()]):
    del sys.path[0]
    if _OURS not in sys.path:
        # Run from a checkout that is not installed: our packages were found by that very entry.
        sys.path.append(_OURS)

from supervisor.cli.main import main  # noqa: E402 - the path had to be mended first

if __name__ == "__main__":
    sys.exit(main())
