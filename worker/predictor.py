"""From a reference such as `predict.py:Predictor` to something that can be called."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import warnings
from collections.abc import Callable
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from worker.call_kind import CallKind, kind_of
from worker.candidates import files_near, names_near
from worker.error_text import describe
from worker.hidden_modules import hidden_modules
from worker.signature import Signature, resolve_input_defaults, signature_of

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["CallKind", "LoadError", "Predictor", "load_predictor"]

_METHODS: Final = ("run", "predict")
_NOT_RUNNABLE: Final = "run() or predict() method not found on predictor"
_NOT_TRAINABLE: Final = "Training not supported by this predictor"


class LoadError(Exception):
    """A model could not be loaded. `__cause__` is the model's exception, with its traceback."""


@frozen
class Predictor:
    """A loaded model."""

    instance: object
    """What the reference names; of a class, its instance."""
    call: Callable[..., Any]
    """Takes the prepared inputs as keyword arguments."""
    kind: CallKind
    signature: Signature
    """That of `call`."""
    runs: Signature | None
    """The signature of predictions, whatever `call` is; None: it cannot predict."""
    trains: Signature | None
    """The signature of trainings, whatever `call` is; None: it cannot be trained."""
    setup: Callable[[], Any] | None
    """The model's set-up, its weights already applied. May answer an awaitable."""
    healthcheck: Callable[[], Any] | None
    """The model's own healthcheck. May answer an awaitable."""
    teardown: Callable[[], Any] | None
    """What the model wants to be called at the end. May answer an awaitable."""


def load_predictor(ref: str, *, is_train: bool) -> Predictor:
    """Load the file of a reference and make its predictor; the module stays in `sys.modules`.

    Warns on stderr of files beside it that it cannot import.

    Args:
        ref: `path/to/file.py:Name`, or the path alone: then `Runner` or `Predictor` is meant.
        is_train: whether `train` is to be called; else `run` or `predict`.

    Raises:
        LoadError: the file, the name or the class cannot be used.
    """
    path, _, name = ref.partition(":")
    near = "" if os.path.exists(path) else files_near(path)
    sys.stderr.writelines(f"{warning}\n" for warning in hidden_modules(path))
    try:
        module = _load_module(path)
        name = name or _default_name(module, is_train=is_train)
        return _make_predictor(_named(module, name), name, is_train=is_train)
    # The model's own code runs here, and `sys.exit()` in it is as fatal as an error.
    except BaseException as error:
        text = f"failed to load predictor: {describe(error)}{near}"
        raise LoadError(text) from error


def _load_module(path: str) -> ModuleType:
    name = os.path.basename(path).replace(".py", "")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"Cannot load module from {path}")
    module = importlib.util.module_from_spec(spec)
    # Before it runs, so that what it defines can be pickled.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _default_name(module: ModuleType, *, is_train: bool) -> str:
    """The name that is meant when a reference has none."""
    found = [name for name in ("Runner", "Predictor") if callable(getattr(module, name, None))]
    usable = [name for name in found if _why_unusable(getattr(module, name), name) is None]
    if usable == ["Runner", "Predictor"]:
        warnings.warn(
            "Both Runner and Predictor are defined; using Runner. "
            "Name the class if this is not intended.",
            UserWarning,
            stacklevel=2,
        )
    trainers = [name for name in found if hasattr(getattr(module, name), "train")]
    functions = [
        name
        for name in (("train",) if is_train else _METHODS)
        if inspect.isfunction(getattr(module, name, None))
    ]
    candidates = [*(trainers + functions if is_train else []), *usable, *found, *functions]
    if not candidates:
        near = names_near(module, "Runner", "Predictor")
        raise AttributeError(f"module {module.__name__!r} has no Runner or Predictor{near}")
    return candidates[0]


def _named(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError as error:
        raise AttributeError(f"{error}{names_near(module, name)}") from None


def _make_predictor(target: Any, name: str, *, is_train: bool) -> Predictor:
    if inspect.isclass(target):
        problem = _why_unusable(target, name)
        if problem and not (is_train and callable(getattr(target, "train", None))):
            raise ValueError(problem)
        instance = target()
    else:
        instance = target
    is_function = inspect.isroutine(instance)
    run = _run_of(instance)
    train = None if is_function else _train_of(instance)
    if is_train and train is None and run is instance:
        run, train = None, instance  # a function is what the mode takes it for
    call = train if is_train else run
    # Before the defaults are resolved: they tell what an input is.
    runs = None if run is None else signature_of(run)
    trains = None if train is None else signature_of(train)
    signature = trains if is_train else runs
    if call is None or signature is None:
        raise ValueError(_NOT_TRAINABLE if is_train else _NOT_RUNNABLE)
    for function in [call, *(_method(instance, method) for method in (*_METHODS, "train"))]:
        if function is not None:
            resolve_input_defaults(function)
    return Predictor(
        instance=instance,
        call=_by_keyword(call),
        kind=kind_of(call),
        signature=signature,
        runs=runs,
        trains=trains,
        setup=None if is_function else _setup_of(instance),
        healthcheck=None if is_function else _method(instance, "healthcheck"),
        teardown=None if is_function else _method(instance, "teardown"),
    )


def _why_unusable(target: Any, name: str) -> str | None:
    """What is wrong with a class as a predictor; None if nothing is, or if it is no class."""
    if not inspect.isclass(target):
        return None
    owners = [method for method in _METHODS if _owner(target, method) is not None]
    if len(owners) == 1:
        return None
    if owners:
        return f"{name} must define either run() or predict(), not both"
    return f"run or predict method not found: {name}"


def _owner(target: type, method: str) -> type | None:
    """The class that defines a method for the model: not the SDK's base class, nor any after it."""
    for owner in inspect.getmro(target):
        if owner is object or owner.__module__.partition(".")[0] == "cog":
            return None
        value = vars(owner).get(method)
        if callable(value) or isinstance(value, classmethod | staticmethod):
            return owner
    return None


def _run_of(instance: Any) -> Callable[..., Any] | None:
    """What predicts: its `run` or `predict`, or the callable itself."""
    for method in () if inspect.isroutine(instance) else _METHODS:
        found = _method(instance, method)
        if found is not None and _owner(type(instance), method) is not None:
            return found
    return instance if callable(instance) else None


def _train_of(instance: Any) -> Callable[..., Any] | None:
    """Its `train`; not the one of a torch module, which only switches between two modes."""
    train = _method(instance, "train")
    library = str(getattr(train, "__module__", "")).partition(".")[0]
    return None if library == "torch" else train


def _method(instance: Any, name: str) -> Callable[..., Any] | None:
    found: Any = getattr(instance, name, None)
    return found if callable(found) else None


def _by_keyword(call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, or what calls it, so that it takes everything by keyword: `def run(a, /)` too."""
    try:
        parameters = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):  # some callables written in C have none
        return call
    names = [each.name for each in parameters if each.kind is each.POSITIONAL_ONLY]
    if not names:
        return call

    def called(**inputs: Any) -> Any:
        # Up to the first that is missing: what comes after it the call itself refuses.
        present = list(takewhile(inputs.__contains__, names))
        return call(*[inputs.pop(name) for name in present], **inputs)

    return called


def _setup_of(instance: Any) -> Callable[[], Any] | None:
    setup = _method(instance, "setup")
    weights = None if setup is None else inspect.signature(setup).parameters.get("weights")
    if setup is None or weights is None:
        return setup
    if weights.kind is weights.KEYWORD_ONLY:
        return lambda: setup(weights=os.environ.get("COG_WEIGHTS") or None)
    return lambda: setup(os.environ.get("COG_WEIGHTS") or None)
