"""Inputs: what fits, what is turned into what, what is refused, with which words."""

from __future__ import annotations

from typing import Final

from tests.differential.rows import post, put, row

__all__ = ["ROWS"]

_INPUTS = (
    # Everything is what it should be.
    '{"text": "abcde", "n": 5, "level": 3, "f": 1.5, "flag": true, "maybe": "m", "given": 7}',
    '{"items": ["a", "b"], "numbers": [1, 2], "extra": {"a": [1, {"b": null}]}, "secret": "s"}',
    # n: an integer from 0 to 5
    '{"n": 0}',
    '{"n": 5.0}',
    '{"n": 2.5}',
    '{"n": 2e0}',
    '{"n": -0}',
    '{"n": -0.0}',
    '{"n": -1}',
    '{"n": 6}',
    '{"n": "3"}',
    '{"n": true}',
    '{"n": null}',
    '{"n": [3]}',
    '{"n": {}}',
    # level: one of 1, 2, 3
    '{"level": 4}',
    '{"level": 1.0}',
    '{"level": "2"}',
    '{"level": null}',
    '{"level": true}',
    # do: one of a few texts
    '{"do": "nothing"}',
    '{"do": ""}',
    '{"do": null}',
    '{"do": 1}',
    # f: a number
    '{"f": 1}',
    '{"f": -1e-7}',
    '{"f": 1e308}',
    '{"f": 0.1}',
    '{"f": 123456789.123456789}',
    '{"f": "1.5"}',
    '{"f": true}',
    '{"f": null}',
    # flag
    '{"flag": false}',
    '{"flag": 1}',
    '{"flag": "true"}',
    '{"flag": null}',
    # text: 1 to 5 characters, none of them A to Z
    '{"text": ""}',
    '{"text": "abcdef"}',
    '{"text": "aBc"}',
    '{"text": "ABCDEF"}',
    '{"text": 1}',
    '{"text": null}',
    '{"text": ["a"]}',
    '{"text": "é日🙂"}',
    '{"text": "🙂🙂🙂🙂🙂"}',
    '{"text": "🙂🙂🙂🙂🙂🙂"}',
    '{"text": "e\\u0301"}',
    '{"text": "\\ud83d\\ude42"}',
    '{"text": "\\u0000"}',
    '{"text": "a\\nb\\t"}',
    '{"text": "\\u2028"}',
    # maybe, given: may be null
    '{"maybe": null}',
    '{"maybe": ""}',
    '{"maybe": 1}',
    '{"given": null}',
    '{"given": 2.0}',
    '{"given": "5"}',
    # items, numbers: lists
    '{"items": []}',
    '{"items": null}',
    '{"items": "a"}',
    '{"items": ["a", 1, "b", null]}',
    '{"items": {"0": "a"}}',
    '{"numbers": null}',
    '{"numbers": [1, 2.0]}',
    '{"numbers": [1, "2", 2.5]}',
    # extra: an object
    '{"extra": {}}',
    '{"extra": null}',
    '{"extra": []}',
    '{"extra": "{}"}',
    '{"do": "keys", "extra": {"z": 1, "a": 2, "m": 3}}',
    '{"do": "keys", "extra": {"10": 1, "9": 2}}',
    '{"extra": {"whole": 1.0, "small": 1e-10, "large": 1e22, "zero": -0.0}}',
    '{"extra": {"": "", "é": "é", "\\u0000": "\\u0000"}}',
    '{"extra": {"a": 1, "a": 2}}',
    '{"extra": {"a": 18446744073709551615, "b": 18446744073709551616}}',
    '{"extra": {"a": -9223372036854775808, "b": -9223372036854775809}}',
    '{"extra": {"a": 0.1000000000000000055511151231257827}}',
    # secret, big
    '{"secret": "s3cr3t"}',
    '{"secret": null}',
    '{"secret": 1}',
    '{"big": 9007199254740993}',
    '{"big": 18446744073709551615}',
    '{"big": 18446744073709551616}',
    '{"big": -9223372036854775809}',
    '{"big": 100000000000000000000000000000}',
    '{"big": 1e3}',
    '{"big": 1e30}',
    # unknown ones, and several wrong ones
    '{"unknown": 1}',
    '{"unknown": {"do": "fail"}, "n": 3}',
    '{"unknown": 1, "n": 9}',
    '{"": 1}',
    '{"N": 9}',
    '{"n ": 9}',
    '{"n": 9, "text": 1, "f": "x", "flag": 0, "level": 9}',
    '{"flag": 0, "n": 9}',
    '{"items": [1, 2, 3], "numbers": ["x"]}',
)

ROWS: Final = (
    *(row(f"input {text}", post(f'{{"id": "<id>", "input": {text}}}')) for text in _INPUTS),
    row("a long text", post({"id": "<id>", "input": {"maybe": "x" * 20_000}})),
    row("a long text that is wrong", post({"id": "<id>", "input": {"n": "x" * 20}})),
    row("PUT with an invalid input", put({"input": {"n": 9}})),
    row("PUT with an unknown input", put({"input": {"unknown": 9, "n": 3}})),
)
