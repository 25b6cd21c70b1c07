"""Run the corpus of small models on our worker and on coglet's, and say where they differ.

    .venv/bin/python scripts/compare_corpus.py [MODEL ...] [--all] [--write]

Without options, prints what is found and not listed in `tests/worker/corpus_differences.toml`, and
what is listed and not found. `--all` prints all that was seen on both. `--write` changes the list
to what is found; `quirk`, `why` and `sometimes` stay, and where they are missing they have to be
written by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.reviewed_differences import Reviewed, document
from tests.worker.corpus import CORPUS
from tests.worker.corpus_differences import LIST, differences, reviewed
from tests.worker.corpus_observation import observe

if TYPE_CHECKING:
    from tests.reviewed_differences import Differences
    from tests.worker.corpus_observation import Observation


def main() -> int:
    """The command; its exit code is 1 when the list is not what is found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="all if none is named")
    parser.add_argument("--all", action="store_true", help="print all that is seen")
    parser.add_argument("--write", action="store_true", help=f"change {LIST.name}")
    options = parser.parse_args()
    unknown = set(options.models) - set(CORPUS)
    if unknown:
        parser.error(f"no model {', '.join(sorted(unknown))}")
    names = options.models or [name for name in CORPUS if not CORPUS[name].not_on_coglet]
    listed = reviewed()
    changed = False
    with ThreadPoolExecutor(2) as pool:
        seen = [(name, pool.submit(observe_both, name)) for name in names]
        for name, future in seen:
            ours, coglet = future.result()
            if options.all:
                print(json.dumps({name: {"ours": ours, "coglet": coglet}}, indent=2))
            found = differences(coglet, ours)
            entry = listed.setdefault(name, Reviewed())
            changed |= tell(name, entry, found)
            entry.differences = {p: v for p, v in found.items() if p not in entry.sometimes}
    if options.write:
        kept = [(n, listed[n]) for n in CORPUS if n in listed]
        LIST.write_text(
            document(LIST, ((n, e) for n, e in kept if e.differences or e.sometimes)), "utf-8"
        )
    return int(changed)


def observe_both(name: str) -> tuple[Observation, Observation]:
    """What is seen of a model on our worker, and on coglet's if it runs there."""
    model = CORPUS[name]
    return observe(model, "ours"), {} if model.not_on_coglet else observe(model, "coglet")


def tell(name: str, entry: Reviewed, found: Differences) -> bool:
    """Print how what is `found` is not as listed; whether it is so."""
    unlisted, gone = entry.unlisted(found), entry.gone(found)
    for place, values in unlisted.items():
        print(f"{name}: {place}: coglet {values.get('coglet')!r}, ours {values.get('ours')!r}")
    for place in gone:
        print(f"{name}: {place}: is listed, but there is no difference")
    return bool(unlisted or gone)


if __name__ == "__main__":
    sys.exit(main())
