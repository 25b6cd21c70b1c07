from __future__ import annotations

import asyncio
import inspect
import pickle
import sys
from typing import TYPE_CHECKING

import pytest

from worker.predictor import CallKind, LoadError, load_predictor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from worker.predictor import Predictor

    Load = Callable[..., Predictor]


# --- what a reference may name ----------------------------------------------------------------


@pytest.mark.parametrize("method", ["run", "predict"])
def test_a_plain_class(method: str, load_model: Load) -> None:
    predictor = load_model(
        f"""
        class Predictor:
            def setup(self):
                self.word = "hello "
            def {method}(self, name: str) -> str:
                return self.word + name
            def healthcheck(self):
                return True
        """
    )
    assert predictor.kind is CallKind.SYNC
    assert predictor.setup is not None
    predictor.setup()
    assert predictor.call(name="world") == "hello world"
    assert predictor.healthcheck is not None
    assert predictor.healthcheck() is True
    assert type(predictor.instance).__name__ == "Predictor"


@pytest.mark.parametrize("base", ["BaseRunner", "BasePredictor"])
@pytest.mark.parametrize("method", ["run", "predict"])
def test_a_class_of_the_sdk(base: str, method: str, load_model: Load) -> None:
    predictor = load_model(
        f"""
        import cog
        class Predictor(cog.{base}):
            def {method}(self, n: int = cog.Input(default=2, ge=1)) -> int:
                return n + 1
        """
    )
    assert predictor.call(n=4) == 5
    assert predictor.setup is not None
    assert predictor.setup() is None
    assert predictor.healthcheck is None


def test_a_function_has_no_set_up(load_model: Load) -> None:
    predictor = load_model("def predict(a: int, b: int = 2) -> int:\n    return a + b", "predict")
    assert predictor.call(a=1) == 3
    assert predictor.setup is None
    assert predictor.healthcheck is None


def test_a_callable_object_is_set_up(load_model: Load) -> None:
    predictor = load_model(
        """
        class Model:
            def setup(self):
                self.factor = 3
            def __call__(self, n: int) -> int:
                return n * self.factor
        model = Model()
        """,
        "model",
    )
    assert predictor.setup is not None
    predictor.setup()
    assert predictor.call(n=2) == 6
    assert [field.name for field in predictor.signature.fields] == ["n"]


def test_a_partial(load_model: Load) -> None:
    predictor = load_model(
        """
        import functools
        def run(a: int, b: int) -> int:
            return a - b
        ten_minus = functools.partial(run, 10)
        """,
        "ten_minus",
    )
    assert predictor.call(b=4) == 6
    assert [field.name for field in predictor.signature.fields] == ["b"]
    assert predictor.setup is None


def test_an_instance_made_by_the_model(load_model: Load) -> None:
    predictor = load_model(
        """
        class Model:
            def __init__(self, word): self.word = word
            def predict(self) -> str: return self.word
        model = Model("made")
        """,
        "model",
    )
    assert predictor.call() == "made"


def test_static_and_class_methods_count(load_model: Load) -> None:
    predictor = load_model(
        """
        class Predictor:
            @staticmethod
            def run(n: int) -> int:
                return n
        """
    )
    assert predictor.call(n=1) == 1
    predictor = load_model(
        """
        class Predictor:
            @classmethod
            def run(cls, n: int) -> str:
                return cls.__name__ * n
        """
    )
    assert predictor.call(n=1) == "Predictor"


def test_an_inherited_method_counts_but_not_one_behind_the_sdks_base(load_model: Load) -> None:
    source = """
        import cog
        class Mixin:
            def run(self) -> str:
                return "mixed in"
        class Before(Mixin, cog.BaseRunner): ...
        class After(cog.BaseRunner, Mixin): ...
        """
    assert load_model(source, "Before").call() == "mixed in"
    with pytest.raises(LoadError, match="run or predict method not found: After"):
        load_model(source, "After")


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Runner", "Predictor"])
def test_without_a_name_runner_or_predictor_is_meant(name: str, load_model: Load) -> None:
    predictor = load_model(f"class {name}:\n    def run(self): return '{name}'", name="")
    assert predictor.call() == name


def test_runner_comes_before_predictor_with_a_warning(load_model: Load) -> None:
    source = """
        class Predictor:
            def predict(self): return "predictor"
        class Runner:
            def run(self): return "runner"
        """
    with pytest.warns(UserWarning, match="Both Runner and Predictor are defined"):
        predictor = load_model(source, "")
    assert predictor.call() == "runner"


def test_a_runner_that_cannot_run_gives_way(load_model: Load) -> None:
    predictor = load_model(
        """
        class Runner: ...
        class Predictor:
            def predict(self): return "predictor"
        """,
        "",
    )
    assert predictor.call() == "predictor"


def test_a_lone_function_is_found(load_model: Load) -> None:
    assert load_model("def run(): return 'found'", "").call() == "found"


def test_train_mode_prefers_what_can_train(load_model: Load) -> None:
    predictor = load_model(
        """
        class Predictor:
            def predict(self): return "predicted"
        def train(n: int) -> str: return f"trained {n}"
        """,
        "",
        is_train=True,
    )
    assert predictor.call(n=3) == "trained 3"


# --- trainings --------------------------------------------------------------------------------


def test_a_class_with_train_only_loads_in_train_mode(load_model: Load) -> None:
    source = """
        class Trainer:
            def setup(self): self.ready = True
            def train(self, steps: int) -> int: return steps
        """
    predictor = load_model(source, "Trainer", is_train=True)
    assert predictor.call(steps=7) == 7
    assert predictor.setup is not None
    with pytest.raises(LoadError, match="run or predict method not found: Trainer"):
        load_model(source, "Trainer")


def test_train_mode_calls_train(load_model: Load) -> None:
    source = """
        class Predictor:
            def predict(self) -> str: return "predicted"
            def train(self) -> str: return "trained"
        """
    assert load_model(source, is_train=True).call() == "trained"
    assert load_model(source, is_train=False).call() == "predicted"


def test_a_class_without_train_cannot_train(load_model: Load) -> None:
    with pytest.raises(LoadError, match="ValueError: Training not supported by this predictor"):
        load_model("class Predictor:\n    def run(self): ...", is_train=True)


# --- kinds ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("definition", "kind"),
    [
        ("def run(self): return 1", CallKind.SYNC),
        ("def run(self): yield 1", CallKind.SYNC),
        ("async def run(self): return 1", CallKind.ASYNC),
        ("async def run(self): yield 1", CallKind.ASYNC_GENERATOR),
    ],
)
def test_kinds_of_methods(definition: str, kind: CallKind, load_model: Load) -> None:
    assert load_model(f"class Predictor:\n    {definition}").kind is kind


@pytest.mark.parametrize(
    ("definition", "kind"),
    [
        ("async def __call__(self): return 1", CallKind.ASYNC),
        ("async def __call__(self): yield 1", CallKind.ASYNC_GENERATOR),
        ("def __call__(self): return 1", CallKind.SYNC),
    ],
)
def test_kinds_of_callable_objects(definition: str, kind: CallKind, load_model: Load) -> None:
    source = f"class Model:\n    {definition}\nmodel = Model()"
    assert load_model(source, "model").kind is kind


DECORATED = """
    import asyncio, contextlib, functools, inspect

    @contextlib.contextmanager
    def entered():
        yield

    def decorated(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            {body}
        return wrapper

    class Predictor:
        {decorator}
        async def run(self):
            {statement} 1
    """


@pytest.mark.parametrize(
    "body",
    [
        "return function(*args, **kwargs)",
        "print('called'); return function(*args, **kwargs)",
        "with entered(): return function(*args, **kwargs)",
        "result = function(*args, **kwargs); print('called'); return result",
    ],
)
@pytest.mark.parametrize("decorators", [1, 2])
@pytest.mark.parametrize(
    ("statement", "kind"), [("return", CallKind.ASYNC), ("yield", CallKind.ASYNC_GENERATOR)]
)
def test_a_decorator_that_hands_on_the_coroutine_hides_nothing(
    body: str, decorators: int, statement: str, kind: CallKind, load_model: Load
) -> None:
    decorator = "\n        ".join(["@decorated"] * decorators)
    source = DECORATED.format(body=body, decorator=decorator, statement=statement)
    assert load_model(source).kind is kind


def test_a_context_manager_as_a_decorator_hides_nothing(load_model: Load) -> None:
    source = DECORATED.format(body="pass", decorator="@entered()", statement="return")
    assert load_model(source).kind is CallKind.ASYNC


@pytest.mark.parametrize(
    "body",
    [
        "return asyncio.run(function(*args, **kwargs))",
        "result = function(*args, **kwargs); return asyncio.run(result)",
        "result = function(*args, **kwargs); result = asyncio.run(result); return result",
        "return asyncio.Runner().run(functools.partial(function, *args)())",
        """async def main(): return await function(*args, **kwargs)
            return asyncio.run(main())""",
        "return 1",
        "yield from function(*args, **kwargs)",
    ],
)
def test_a_decorator_that_may_run_the_coroutine_itself_makes_it_sync(
    body: str, load_model: Load
) -> None:
    source = DECORATED.format(body=body, decorator="@decorated", statement="return")
    assert load_model(source).kind is CallKind.SYNC


def test_a_decorator_without_source_makes_it_sync(load_model: Load) -> None:
    source = """
        import functools
        def decorated(function):
            return functools.wraps(function)(lambda *args: function(*args))
        class Predictor:
            @decorated
            async def run(self): ...
        """
    assert load_model(source).kind is CallKind.SYNC


# --- set-up -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"), [({}, None), ({"COG_WEIGHTS": "https://w"}, "https://w")]
)
def test_weights_come_from_the_environment(
    environment: dict[str, str],
    expected: str | None,
    load_model: Load,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predictor = load_model(
        """
        class Predictor:
            def setup(self, weights): self.weights = weights
            def run(self): return self.weights
        """
    )
    monkeypatch.delenv("COG_WEIGHTS", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert predictor.setup is not None
    predictor.setup()
    assert predictor.call() == expected


@pytest.mark.parametrize("parameters", ["*, weights", "weights, /", "weights=None"])
def test_weights_however_they_are_taken(
    parameters: str, load_model: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = load_model(
        f"""
        class Predictor:
            def setup(self, {parameters}): self.weights = weights
            def run(self): return self.weights
        """
    )
    monkeypatch.setenv("COG_WEIGHTS", "https://w")
    assert predictor.setup is not None
    predictor.setup()
    assert predictor.call() == "https://w"


def test_an_async_set_up_answers_an_awaitable(load_model: Load) -> None:
    predictor = load_model(
        """
        class Predictor:
            async def setup(self, weights=None): self.done = True
            async def run(self): return self.done
        """
    )
    assert predictor.setup is not None
    awaitable = predictor.setup()
    assert inspect.isawaitable(awaitable)

    async def main() -> bool:
        await awaitable
        return await predictor.call()  # type: ignore[no-any-return]

    assert asyncio.run(main()) is True


# --- Input() ----------------------------------------------------------------------------------


def test_input_objects_are_not_seen_by_the_model(load_model: Load) -> None:
    predictor = load_model(
        """
        from cog import Input
        class Predictor:
            def setup(self):
                self.warm = self.predict(text="warm-up")
            def predict(self, text: str, n: int = Input(default=3), *, k: int = Input(default=4)):
                return text, n, k
            def train(self, n: int = Input(default=5)): return n
        """
    )
    assert predictor.setup is not None
    predictor.setup()
    assert predictor.instance.warm == ("warm-up", 3, 4)  # type: ignore[attr-defined]
    assert predictor.instance.train() == 5  # type: ignore[attr-defined]


def test_input_objects_behind_a_decorator_are_not_seen_either(load_model: Load) -> None:
    predictor = load_model(
        """
        import functools
        from cog import Input
        def decorated(function):
            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                return "wrapped", function(*args, **kwargs)
            return wrapper
        class Predictor:
            @decorated
            def run(self, n: int = Input(default=3, ge=1)): return n
        """
    )
    assert predictor.call() == ("wrapped", 3)
    (field,) = predictor.signature.fields
    assert (field.name, field.default, field.constraints.ge) == ("n", 3, 1)


# --- the module -------------------------------------------------------------------------------


def test_what_a_model_defines_can_be_pickled(load_model: Load) -> None:
    predictor = load_model(
        """
        import pickle, sys
        class Thing: ...
        pickled_at_import = pickle.dumps(Thing())
        class Predictor:
            def run(self): return Thing()
        """
    )
    thing = pickle.loads(pickle.dumps(predictor.call()))
    assert type(thing).__module__ in sys.modules


def test_a_path_in_a_folder(
    tmp_path: Path, load_model: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_model("def run(): ...", "run")  # for the clean-up of the fixture
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    (folder / "model_in_folder.py").write_text("def run(): return __name__")
    predictor = load_predictor("deep/er/model_in_folder.py:run", is_train=False)
    assert predictor.call() == "model_in_folder"


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "name", "text"),
    [
        ("import nowhere_at_all", "P", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("raise SystemExit(4)", "P", "SystemExit: 4"),
        ("raise ValueError", "P", "ValueError"),
        ("class P: ...", "P", "ValueError: run or predict method not found: P"),
        (
            "class P:\n    def run(self): ...\n    def predict(self): ...",
            "P",
            "ValueError: P must define either run() or predict(), not both",
        ),
        (
            "class P:\n    def __init__(self): raise OSError('no GPU')\n    def run(self): ...",
            "P",
            "OSError: no GPU",
        ),
        ("P = 5", "P", "ValueError: run() or predict() method not found on predictor"),
    ],
)
def test_what_goes_wrong_is_said_in_coglets_words(
    source: str, name: str, text: str, load_model: Load
) -> None:
    with pytest.raises(LoadError) as caught:
        load_model(source, name)
    assert str(caught.value) == f"failed to load predictor: {text}"
    cause = caught.value.__cause__
    assert cause is not None
    assert type(cause).__name__ == text.partition(":")[0]


def test_a_syntax_error_names_file_and_line(load_model: Load) -> None:
    with pytest.raises(LoadError, match=r"SyntaxError: .* \(model_\d+\.py, line 2\)"):
        load_model("x = 1\ndef run(:")


def test_a_missing_file_is_named(load_model: Load) -> None:
    with pytest.raises(LoadError, match=r"FileNotFoundError: \[Errno 2\] No such .*nowhere\.py'"):
        load_predictor("nowhere.py:Predictor", is_train=False)


def test_no_python_file(load_model: Load, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(LoadError, match=r"ImportError: Cannot load module from weights\.bin"):
        load_predictor("weights.bin:Predictor", is_train=False)


def test_without_a_name_and_without_candidates(load_model: Load) -> None:
    with pytest.raises(LoadError, match=r"AttributeError: module 'model_\d+' has no Runner or Pre"):
        load_model("x = 1", "")


def test_without_a_name_a_class_that_cannot_run_tells_why(load_model: Load) -> None:
    with pytest.raises(LoadError, match="ValueError: run or predict method not found: Runner"):
        load_model("class Runner: ...", "")


def test_a_wrong_name_is_answered_with_near_ones(load_model: Load) -> None:
    with pytest.raises(
        LoadError, match=r"has no attribute 'Predicter'\. Did you mean 'Predictor'\?"
    ):
        load_model("class Predictor:\n    def run(self): ...", "Predicter")


@pytest.mark.parametrize("name", ["Zebra", ""])
def test_a_name_that_is_far_off_is_answered_with_all_that_could_be_meant(
    name: str, load_model: Load
) -> None:
    source = """
        import json
        from dataclasses import dataclass
        from pathlib import Path
        @dataclass
        class Options: ...
        class Mine:
            def run(self): ...
        class Trains:
            def train(self): ...
        def generate(): ...
        def _private(): ...
        class Hidden:
            def __call__(self): ...
        made = Hidden()
        """
    with pytest.raises(LoadError, match=r"\. There is 'Mine', 'Trains', 'generate', 'made'$"):
        load_model(source, name)


def test_a_module_without_anything_to_call_has_no_candidates(load_model: Load) -> None:
    for name in ("Zebra", ""):
        with pytest.raises(LoadError, match=r"('Zebra'|Runner or Predictor)$"):
            load_model("x = 1", name)


@pytest.mark.parametrize(
    ("ref", "end"),
    [
        ("predcit.py:Predictor", r"predcit\.py'\. Did you mean 'predict\.py'\?"),
        ("predict:Predictor", r"from predict\. Did you mean 'predict\.py'\?"),
        ("predict.Predictor", r"from predict\.Predictor\. There is 'predict\.py', 'train\.py'"),
        ("sub/predcit.py", r"predcit\.py'\. There is 'only\.py'"),
        ("nowhere/predict.py", r"predict\.py'"),
    ],
)
def test_a_missing_file_is_answered_with_near_ones(
    ref: str, end: str, load_model: Load, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("predict.py", "train.py", "notes.txt", "sub/only.py"):
        (tmp_path / name).touch()
    with pytest.raises(LoadError, match=end + "$"):
        load_predictor(ref, is_train=False)


def test_a_file_that_the_model_misses_is_no_reference(load_model: Load, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"'weights\.bin'$"):
        load_model("open('weights.bin')")
