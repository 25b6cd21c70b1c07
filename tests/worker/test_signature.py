from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Annotated, Any

import pydantic
import pydantic.v1
import pytest

from worker.constraints import Constraints
from worker.declared import NO_DEFAULT, Made
from worker.layers import innermost_function
from worker.shapes import OpenObject, Scalar, Stream, Unknown
from worker.signature import (
    resolve_input_defaults,
    signature_of,
)
from worker.source import SourceFacts, read_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from nowhere import Missing  # type: ignore[import-not-found]

    from worker.predictor import Predictor
    from worker.signature import Field, Signature

    Load = Callable[..., Predictor]


class Ge:
    """As annotated-types has it."""

    def __init__(self, ge: float) -> None:
        self.ge = ge


class Len:
    def __init__(self, min_length: int, max_length: int) -> None:
        self.min_length, self.max_length = min_length, max_length


def fields_of(signature: Signature) -> dict[str, Field]:
    return {field.name: field for field in signature.fields}


def test_parameters_in_order_with_shapes_and_defaults() -> None:
    def run(text: str, n: int = 3, *, anything=None) -> list[str]: ...  # type: ignore[no-untyped-def,empty-body]

    signature = signature_of(run)
    assert [(field.name, field.shape, field.default) for field in signature.fields] == [
        ("text", Scalar.STRING, NO_DEFAULT),
        ("n", Scalar.INTEGER, 3),
        ("anything", Unknown(), None),
    ]
    assert not signature.takes_anything


def test_a_name_for_type_checkers_alone_spoils_no_other_parameter() -> None:
    def run(a: Missing, b: int) -> Missing: ...

    signature = signature_of(run)
    assert [field.shape for field in signature.fields] == [Unknown(), Scalar.INTEGER]
    assert signature.returns == Unknown()


def test_star_parameters() -> None:
    def run(a: int, *more: int, **others: int) -> None: ...

    signature = signature_of(run)
    assert [field.name for field in signature.fields] == ["a"]
    assert signature.takes_anything


def test_a_callable_without_signature_takes_anything() -> None:
    signature = signature_of(dict)
    assert signature.fields == ()
    assert signature.takes_anything


def test_behind_decorators() -> None:
    def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    class Model:
        @decorated
        @decorated
        def run(self, n: int = 1) -> int:
            return n

    signature = signature_of(Model().run)
    assert [(field.name, field.shape) for field in signature.fields] == [("n", Scalar.INTEGER)]
    assert innermost_function(Model().run).__qualname__.endswith("Model.run")


def test_a_function_that_wraps_itself_ends() -> None:
    def run() -> None: ...

    run.__wrapped__ = run  # type: ignore[attr-defined]
    assert innermost_function(run) is run


def test_constraints_beside_the_type() -> None:
    def run(n: Annotated[int, Ge(1)], s: Annotated[str, Len(2, 5), "note"], x: int) -> None: ...

    fields = fields_of(signature_of(run))
    assert fields["n"].constraints == Constraints(ge=1)
    assert fields["s"].constraints == Constraints("note", min_length=2, max_length=5)
    assert fields["x"].constraints == Constraints()


def test_everything_that_input_says(load_model: Load) -> None:
    predictor = load_model(
        """
        from cog import Input
        def run(
            a: int = Input(default=2, description="d", ge=1, le=3, deprecated=True),
            b: str = Input(min_length=1, max_length=2, regex="^a"),
            c: str = Input(choices=["x", "y"]),
            d: str = Input(default=None, accept="image/*"),
        ) -> str: ...
        """,
        "run",
    )
    fields = fields_of(predictor.signature)
    assert fields["a"].constraints == Constraints(description="d", ge=1, le=3, deprecated=True)
    assert fields["b"].constraints == Constraints(min_length=1, max_length=2, regex="^a")
    assert fields["c"].constraints == Constraints(choices=("x", "y"))
    assert fields["d"].constraints == Constraints(accept="image/*")
    assert [(field.default, field.is_written) for field in fields.values()] == [
        (2, True),
        (None, False),
        (None, False),
        (None, True),
    ]
    assert all(field.is_handed_over for field in fields.values())


def test_docstrings_describe_what_has_no_description_of_its_own(load_model: Load) -> None:
    predictor = load_model(
        """
        import functools
        from cog import Input
        from typing import Annotated
        def decorated(function):
            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                return function(*args, **kwargs)
            return wrapper
        class Predictor:
            @decorated
            def run(
                self, a: int, b: int = Input(ge=1), c: int = Input(description="its own"),
                d: Annotated[int, "beside the type"] = 1, e: int = 2,
            ) -> str:
                '''Run.

                Args:
                    a: first
                    b: second
                    c: not this
                    d: nor this
                '''
        """
    )
    described = {f.name: f.constraints.description for f in predictor.signature.fields}
    assert described == {
        "a": "first",
        "b": "second",
        "c": "its own",
        "d": "beside the type",
        "e": None,
    }


def test_inputs_that_may_be_anything_may_be_left_out_if_their_default_is_none(
    load_model: Load,
) -> None:
    predictor = load_model(
        """
        from typing import Any
        from cog import Input
        def run(
            a: Any, b: Any = None, c: Any = Input(default=None), d: Any = Input(), e: Any = 1,
            f: int = None, g: dict = None,
        ) -> str: ...
        """,
        "run",
    )
    assert predictor.signature.optional_inputs == ["b", "c"]


def test_streaming_is_read_from_the_source(load_model: Load) -> None:
    source = """
        import cog
        from cog import streaming
        class Predictor:
            {}
            def run(self) -> cog.ConcatenateIterator[str]: ...
        """
    for decorator in ("@streaming", "@cog.streaming", "@streaming()"):
        signature = load_model(source.format(decorator)).signature
        assert signature.is_streaming
        assert signature.returns == Stream(Scalar.STRING, concatenated=True)
    assert not load_model(source.format("@cog.concurrent(max=1)")).signature.is_streaming


def test_defaults_are_resolved_in_place(load_model: Load) -> None:
    load_model("def run(): ...", "run")
    from cog import Input

    def run(a: int = Input(default=1), *, b: int = Input(default=2), c: int = 3) -> tuple[int, ...]:
        return a, b, c

    resolve_input_defaults(run)
    assert run() == (1, 2, 3)
    assert inspect.signature(run).parameters["a"].default == 1


def test_the_source_of_what_has_none() -> None:
    assert read_source(len) == SourceFacts()
    assert read_source(eval("lambda a=dict(default=1): a")) == SourceFacts()
    namespace: dict[str, Any] = {}
    exec("def run(): ...", namespace)
    assert read_source(namespace["run"]) == SourceFacts()


def test_written_defaults() -> None:
    def Input(*_: Any, **__: Any) -> Any: ...

    def run(  # type: ignore[no-untyped-def]
        a,
        b=Input(),  # noqa: B008
        c=Input(None),  # noqa: B008
        d=Input(description="default"),  # noqa: B008
        e=Input(default=None),  # noqa: B008
        f=3,
        *,
        g=Input(default=1),  # noqa: B008
        h,
    ): ...

    assert read_source(run).written_defaults == {"c", "e", "g"}


@pytest.mark.parametrize("value", [None, 5, "Any", OpenObject])
def test_odd_annotations_restrict_nothing(value: Any) -> None:
    def run(a: int) -> int:
        return a

    run.__annotations__ = {"a": value}
    (field,) = signature_of(run).fields
    assert field.convert is None


def test_what_pydantics_field_declares() -> None:
    def run(
        needed: int = pydantic.Field(ge=1),
        also: int = pydantic.Field(...),
        steps: int = pydantic.Field(default=3, ge=1, lt=9, description="How many"),
        name: str = pydantic.Field("x", min_length=1, max_length=5, pattern="^x"),
        nothing: str | None = pydantic.Field(None),
        made: list[int] = pydantic.Field(default_factory=list, max_length=2),  # noqa: B008
        *,
        above: float = pydantic.Field(default=0.5, gt=0, le=1),
    ) -> None: ...

    fields = fields_of(signature_of(run))
    assert {name: field.default for name, field in fields.items()} == {
        "needed": NO_DEFAULT,
        "also": NO_DEFAULT,
        "steps": 3,
        "name": "x",
        "nothing": None,
        "made": Made(list),
        "above": 0.5,
    }
    assert {name: field.constraints for name, field in fields.items()} == {
        "needed": Constraints(ge=1),
        "also": Constraints(),
        "steps": Constraints(ge=1, lt=9, description="How many"),
        "name": Constraints(min_length=1, max_length=5, regex="^x"),
        "nothing": Constraints(),
        "made": Constraints(max_length=2),
        "above": Constraints(gt=0, le=1),
    }
    assert all(field.is_written and field.is_handed_over for field in fields.values())
    resolve_input_defaults(run)
    assert run.__defaults__ is not None
    assert run.__defaults__[2:] == (3, "x", None, [])
    assert run.__kwdefaults__ == {"above": 0.5}


def test_the_field_of_pydantic_1() -> None:
    def run(
        needed: int = pydantic.v1.Field(...),
        steps: int = pydantic.v1.Field(3, ge=1, description="How many"),
        name: str = pydantic.v1.Field("x", min_length=1, regex="^x"),
        made: list[int] = pydantic.v1.Field(default_factory=list),  # noqa: B008
    ) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pydantic.fields", pydantic.v1.fields)
        fields = fields_of(signature_of(run))
    assert [field.default for field in fields.values()] == [NO_DEFAULT, 3, "x", Made(list)]
    assert [field.constraints for field in fields.values()] == [
        Constraints(),
        Constraints(ge=1, description="How many"),
        Constraints(min_length=1, regex="^x"),
        Constraints(),
    ]
