"""Signatures of webhooks, as the published package of Standard Webhooks checks them."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from supervisor.webhook_signature import parse_secrets, signature_headers

KEYS = st.binary(min_size=24, max_size=64)


def secret(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


@given(KEYS, st.text().map(str.encode))
def test_the_published_package_accepts_a_signature(key: bytes, body: bytes) -> None:
    headers = signature_headers(parse_secrets(secret(key)), "msg_1", int(time.time()), body)
    Webhook(secret(key)).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret(key)).verify(body + b"!", headers, json_parse=False)


@pytest.mark.parametrize("between", [" ", ",", ", ", "\n"])
def test_two_secrets_sign_both_so_that_they_can_be_rotated(between: str) -> None:
    old, new = secret(b"o" * 24), secret(b"n" * 32)
    headers = signature_headers(parse_secrets(old + between + new), "m", int(time.time()), b"{}")
    assert len(headers["webhook-signature"].split(" ")) == 2
    for one in (old, new):
        assert Webhook(one).verify(b"{}", headers) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret(b"x" * 24)).verify(b"{}", headers)


def test_a_secret_may_come_without_its_prefix_and_its_padding() -> None:
    assert parse_secrets(secret(b"k" * 25).removeprefix("whsec_").rstrip("=")) == (b"k" * 25,)


@pytest.mark.parametrize("wrong", ["hunter2hunter2hunter2hunter2hunter2!", "whsec_c2hvcnQ="])
def test_what_is_no_secret_is_refused_and_not_repeated(wrong: str) -> None:
    with pytest.raises(ValueError, match="openssl rand") as caught:
        parse_secrets(wrong)
    assert wrong not in str(caught.value)


@pytest.mark.parametrize("nothing", ["", " ", ",", " , "])
def test_no_secret_at_all_is_a_mistake(nothing: str) -> None:
    with pytest.raises(ValueError, match="no secret"):
        parse_secrets(nothing)
