"""Hypothesis strategies: every message class with any values that it may have."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from protocol import messages as m
from protocol.transport import AbstractSockets, NamedSockets

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
counts = st.integers(0, 2**63)
seconds = st.floats(0, 1e9)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)  # fmt: skip
objects = st.dictionaries(texts, values, max_size=4)
traces = st.builds(m.Trace, texts, texts)
transports = st.builds(NamedSockets, texts, counts) | st.builds(AbstractSockets, texts, counts)
workers = st.builds(
    m.WorkerInfo,
    texts,
    texts,
    st.booleans(),
    st.lists(texts, max_size=4),
    st.dictionaries(texts, texts, max_size=3),
)
sources = st.sampled_from(m.LogSource)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


control_requests = st.one_of(
    st.builds(
        m.Init,
        predictor_ref=texts,
        num_slots=counts,
        transport_info=transports,
        is_train=st.booleans(),
        is_async=st.booleans(),
        trace=optional(traces),
        options=optional(objects),
    ),
    st.builds(m.Cancel, texts, optional(texts)),
    st.builds(m.Healthcheck, texts),
    st.builds(m.Shutdown, optional(seconds)),
)
control_responses = st.one_of(
    st.builds(m.Ready, st.lists(texts, max_size=4), optional(objects), optional(workers)),
    st.builds(m.Log, sources, texts),
    st.builds(m.WorkerLog, texts, texts, texts),
    st.builds(m.Idle, texts),
    st.builds(m.SlotCancelled, texts),
    st.builds(m.SlotFailed, texts, texts),
    st.builds(m.Fatal, texts),
    st.builds(m.DroppedLogs, counts, counts),
    st.builds(
        m.HealthcheckResult,
        texts,
        st.sampled_from(m.HealthStatus),
        optional(texts),
        optional(seconds),
    ),
    st.builds(m.ShuttingDown),
)
_contexts = st.dictionaries(texts, texts, max_size=3)
slot_requests = st.builds(
    m.Predict,
    id=texts,
    input=values.filter(lambda value: value is not None),
    output_dir=texts,
    context=_contexts,
    trace=optional(traces),
    files_apart=optional(st.booleans()),
) | st.builds(m.Predict, id=texts, input_file=texts, output_dir=texts, context=_contexts)
slot_responses = st.one_of(
    st.builds(m.ProtocolVersion, counts),
    st.builds(m.LogLine, sources, texts),
    st.builds(m.OutputChunk, values, counts),
    st.builds(
        m.FileOutput,
        texts,
        st.sampled_from(m.FileKind),
        optional(texts),
        optional(st.dictionaries(texts, texts, max_size=3)),
    ),
    st.builds(m.Metric, texts, values, st.sampled_from(m.MetricMode)),
    st.builds(m.Done, texts, seconds, st.booleans()),
    st.builds(m.Failed, texts, texts),
    st.builds(m.Cancelled, texts),
)
