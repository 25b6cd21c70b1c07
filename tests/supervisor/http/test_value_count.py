from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.http.predictions import create_prediction
from supervisor.http.stream import Streaming
from supervisor.http.value_count import VALUES_MAX, has_too_many_values
from supervisor.http.values import Request

if TYPE_CHECKING:
    from tests.supervisor.http.fake_service import FakeService


@pytest.mark.parametrize("value", [0, {}, [], "a,b", 'a"\\",,,', None])
def test_values_are_counted_and_commas_in_texts_are_not(value: Any) -> None:
    assert has_too_many_values(json.dumps([value] * 11).encode(), 10)
    assert not has_too_many_values(json.dumps([value] * 10).encode(), 10)


@given(st.text(alphabet=',"\\a{}[]', max_size=50))
def test_a_text_is_one_value(text: str) -> None:
    assert not has_too_many_values(json.dumps({"x": text}).encode(), 1)


async def test_a_body_of_too_many_values_is_refused(service: FakeService) -> None:
    body = b'{"input":{"x":[' + b"{}," * VALUES_MAX + b"{}]}}"
    headers = {"content-type": "application/json"}
    response = await create_prediction(service, Request(headers, body), Streaming())
    assert response.status == 413
    assert "4,000,000 values" in json.loads(response.body)["detail"]
    assert service.handles == []
