from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, get_args

import annotated_types as at
import msgspec
import numpy
import pydantic
import pytest
import typing_extensions

from worker.constraints import NO_CONSTRAINTS, Constraints, constraints_of


@pytest.mark.parametrize(
    ("metadata", "constraints"),
    [
        (at.Ge(1), Constraints(ge=1)),
        (at.Le(1.5), Constraints(le=1.5)),
        (at.Gt(0), Constraints(gt=0)),
        (at.Lt(9), Constraints(lt=9)),
        (at.MultipleOf(4), Constraints(multiple_of=4)),
        (at.Interval(gt=0, le=5), Constraints(gt=0, le=5)),
        (at.MinLen(1), Constraints(min_length=1)),
        (at.MaxLen(3), Constraints(max_length=3)),
        (at.Len(1, 3), Constraints(min_length=1, max_length=3)),
        (at.doc("a number"), Constraints("a number")),
        (typing_extensions.Doc("a number"), Constraints("a number")),
        ("a number", Constraints("a number")),
        (
            pydantic.Field(ge=1, le=5, description="steps", deprecated="use n"),
            Constraints("steps", ge=1, le=5, deprecated=True),
        ),
        (
            pydantic.Field(min_length=1, max_length=9, pattern="^a"),
            Constraints(min_length=1, max_length=9, regex="^a"),
        ),
        (pydantic.StringConstraints(pattern=re.compile("^b")), Constraints(regex="^b")),
        (
            msgspec.Meta(gt=0, multiple_of=5, description="by five"),
            Constraints("by five", gt=0, multiple_of=5),
        ),
    ],
    ids=repr,
)
def test_who_says_something(metadata: Any, constraints: Constraints) -> None:
    assert constraints_of(metadata) == constraints


@pytest.mark.parametrize(
    "metadata",
    [
        at.Ge,
        at.Predicate(str.islower),
        at.Timezone(None),
        at.Ge("a"),
        at.Ge(float("-inf")),
        at.Ge(True),
        at.MultipleOf(0),
        at.MinLen(-1),
        pydantic.Field(),
        5,
        None,
        object(),
    ],
    ids=repr,
)
def test_what_a_document_cannot_say_is_passed_over(metadata: Any) -> None:
    assert constraints_of(metadata) == NO_CONSTRAINTS


def test_a_group_that_only_lists_its_members() -> None:
    class Percent(at.GroupedMetadata):
        def __iter__(self) -> Any:
            yield at.Ge(0)
            yield at.Le(100)

    assert constraints_of(Percent()) == Constraints(ge=0, le=100)


def test_limits_add_up_and_the_last_description_counts() -> None:
    metadata = get_args(Annotated[Annotated[pydantic.PositiveInt, at.Gt(5), at.Le(9)], at.Le(20)])
    assert constraints_of(*metadata) == Constraints(gt=5, le=9)
    assert constraints_of(at.doc("first"), at.doc("second"), "third") == Constraints("second")


def test_numbers_of_other_kinds_become_plain_ones() -> None:
    found = constraints_of(at.Ge(Decimal("0.5")), at.Le(numpy.int64(3)), at.Len(numpy.int8(1)))
    assert found == Constraints(ge=0.5, le=3, min_length=1)
    assert (type(found.le), type(found.min_length)) == (int, int)
