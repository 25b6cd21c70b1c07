"""What a worker's interpreter is started with: finds our two packages, and nothing else of ours.

Started as `PYTHON -P …/worker/launch.py [--capture-fd N | --schema REF [--train] | --check]`. This
file alone has to parse on interpreters that are too old for the worker, so that `--check` can say
that they are; and until it has been said that they are there, it imports nothing but the standard
library.
"""

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec

FOLDERS = {
    name: os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), name)
    for name in ("protocol", "worker")
}
OLDEST = (3, 11)
NEEDED = (("attrs", (25, 1)), ("cattrs", (26, 1)), ("msgspec", (0, 20)))
"""Distributions, each with the oldest version that will do."""

FREE_THREADED = (
    "a free-threaded Python without its lock, for which the worker is not made: "
    "set PYTHON_GIL=1 or use the ordinary build"
)


class Finder(object):  # noqa: UP004 - parses anywhere
    """Finds `worker` and `protocol`, exactly these two names, in our folders."""

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> "ModuleSpec | None":
        """The spec of one of our packages; None for every other name."""
        folder = FOLDERS.get(name)
        if folder is None:
            return None
        from importlib.util import spec_from_file_location

        return spec_from_file_location(
            name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
        )


def missing_packages() -> "list[str]":
    """What has to be installed here, as requirements for pip."""
    from importlib import metadata

    missing = []
    for name, oldest in NEEDED:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        found = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
        if found < oldest:
            missing.append("{}>={}".format(name, ".".join(map(str, oldest))))
    return missing


def check() -> str:
    """One JSON object: the version of this interpreter, and what it lacks to run the worker."""
    version = "{}.{}.{}".format(*sys.version_info[:3])
    if sys.version_info[:2] < OLDEST:
        needed = ".".join(map(str, OLDEST))
        return json.dumps({"python": version, "missing": [], "needed": needed})
    answer = {"python": version, "missing": missing_packages()}
    if is_free_threaded():
        answer["refused"] = FREE_THREADED
    return json.dumps(answer)


def is_free_threaded() -> bool:
    """Whether threads of this interpreter run at the same time; it can be since Python 3.13."""
    return not getattr(sys, "_is_gil_enabled", lambda: True)()


def forget_ourselves() -> None:
    """Make the interpreter look as it does under coglet (`python -c`), without our packages.

    What was imported lives on in what refers to it; nothing of ours is imported after this. With a
    `__file__` in `__main__`, every process that the model spawns would run this file again.
    """
    from importlib.machinery import BuiltinImporter

    for name in [name for name in sys.modules if name.partition(".")[0] in FOLDERS]:
        del sys.modules[name]
    # A checkout that is installed editable is on the path of every program of that environment.
    ours = os.path.dirname(FOLDERS["worker"])
    if os.path.basename(ours) not in ("site-packages", "dist-packages"):
        sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != ours]
    sys.path.insert(0, "")

    module = type(sys)("__main__")
    module.__dict__.update(__builtins__=sys.modules["builtins"], __loader__=BuiltinImporter)
    sys.modules["__main__"] = module
    sys.argv = ["-c"]


def make_way(imported: "set[str]") -> None:
    """Of what we have imported, forget the libraries that the model has modules of its own for.

    Under coglet, which imports none of them, the model's `attrs.py` is what `import attrs` finds.
    What was imported lives on in what refers to it.
    """
    from importlib.machinery import PathFinder

    libraries = {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names)
    for library in libraries:
        spec = PathFinder.find_spec(library, [""])
        if spec is not None and spec.has_location:
            for name in [name for name in sys.modules if name.partition(".")[0] == library]:
                del sys.modules[name]


def program(arguments: "list[str]") -> "Callable[[], int]":
    """What was asked for, with all that it will ever import."""
    if "--schema" in arguments:
        from worker.schema_program import print_schema

        ref = arguments[arguments.index("--schema") + 1]
        return lambda: print_schema(ref, is_train="--train" in arguments)

    from worker.__main__ import main as run_worker

    capture = None
    if "--capture-fd" in arguments:
        capture = int(arguments[arguments.index("--capture-fd") + 1])
    return lambda: run_worker(capture)


def main(arguments: "list[str]") -> int:
    """Run the worker or what else was asked for. Returns the exit code."""
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != folder]
    if "--check" in arguments:
        sys.stdout.write(check() + "\n")
        return 0
    if is_free_threaded():
        sys.stderr.write(f"worker: {sys.executable} is {FREE_THREADED}\n")
        return 1
    finder = Finder()
    sys.meta_path.insert(0, finder)
    before = set(sys.modules)
    run = program(arguments)
    sys.meta_path.remove(finder)
    make_way(set(sys.modules) - before)
    forget_ourselves()
    return run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
