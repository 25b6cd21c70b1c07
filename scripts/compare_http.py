"""Send the table of requests to coglet's server and to ours, and say where the answers differ.

    .venv/bin/python scripts/compare_http.py [ROW ...] [--all] [--write]

A ROW is a name or a shell pattern of names. Without options, prints what is found and not listed in
`tests/differential/differences.toml` and `reasons.toml`, and what is listed and not found. `--all`
prints all that was answered. `--write` changes the lists to what is found; `quirk`, `why` and
`sometimes` stay, and where they are missing they have to be written by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.differential.review import LIST, REASONS, REASONS_FILE, compare, reviewed
from tests.differential.rows import STAGES
from tests.differential.sides import Sides
from tests.differential.table import TABLE
from tests.reviewed_differences import Reviewed, document


def main() -> int:
    """The command; its exit code is 1 when the lists are not what is found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help="all if none is named")
    parser.add_argument("--all", action="store_true", help="print all that is answered")
    parser.add_argument("--write", action="store_true", help="change the lists")
    options = parser.parse_args()
    names = [
        name
        for name in TABLE
        if not options.rows or any(name == p or fnmatchcase(name, p) for p in options.rows)
    ]
    if not names:
        parser.error("no row has such a name")
    names = [name for name in names if REASONS.waits_for(name) is None]
    listed = reviewed()
    details = set(REASONS.details)
    changed = False
    for stage in STAGES:
        rows = [TABLE[name] for name in names if TABLE[name].stage == stage]
        if not rows:
            continue
        with Sides(STAGES[stage]) as sides:
            for row in rows:
                coglet, ours = sides.ask(row)
                if options.all:
                    print(json.dumps({row.name: {"coglet": coglet, "ours": ours}}, indent=2))
                found = compare(coglet, ours)
                entry = listed.setdefault(row.name, Reviewed())
                changed |= tell(row.name, entry, found.differences)
                changed |= tell_detail(row.name, found.says_detail, details)
                places = found.differences.items()
                entry.differences = {p: v for p, v in places if p not in entry.sometimes}
    if options.write:
        kept = [(name, listed[name]) for name in TABLE if name in listed]
        entries = ((n, e) for n, e in kept if e.differences or e.sometimes)
        LIST.write_text(document(LIST, entries), "utf-8")
        write_details([name for name in TABLE if name in details])
    return int(changed)


def tell(name: str, entry: Reviewed, found: dict[str, dict[str, object]]) -> bool:
    """Print how what is `found` is not as listed; whether it is so."""
    unlisted, gone = entry.unlisted(found), entry.gone(found)
    for place, values in unlisted.items():
        print(f"{name}: {place}: coglet {values.get('coglet')!r}, ours {values.get('ours')!r}")
    for place in gone:
        print(f"{name}: {place}: is listed, but there is no difference")
    return bool(unlisted or gone)


def tell_detail(name: str, is_found: bool, details: set[str]) -> bool:
    """The same of the rows whose errors are JSON only at ours; `details` becomes what is found."""
    if is_found == (name in details):
        return False
    print(f"{name}: is {'not ' if is_found else ''}listed in `details`")
    (details.add if is_found else details.discard)(name)
    return True


def write_details(names: list[str]) -> None:
    """Change `details` in the file of reasons; all else stays."""
    lines = "".join(f"    {json.dumps(name, ensure_ascii=False)},\n" for name in names)
    text = REASONS_FILE.read_text("utf-8")
    new = f"details = [\n{lines}]\n"
    text = re.sub(r"^details = \[(?:\n.*?^)?\]\n", lambda _: new, text, flags=re.M | re.S)
    REASONS_FILE.write_text(text, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
