"""Forms, as clients send them and as nobody should."""

from __future__ import annotations

import base64
import random

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.form_inputs import FormField
from supervisor.http.multipart import (
    HEADER_MAX,
    NAME_MAX,
    PARTS_MAX,
    SLICE,
    BadForm,
    form_fields,
)

TYPE = "multipart/form-data; boundary=XX"


def form(*parts: tuple[str, bytes], end: bytes = b"--XX--\r\n") -> bytes:
    """A form of parts, each the end of its `Content-Disposition` with more headers, and content."""
    written = b"".join(
        b"--XX\r\nContent-Disposition: form-data%b\r\n\r\n%b\r\n" % (head.encode(), content)
        for head, content in parts
    )
    return written + end


def value_of(head: str, content: bytes) -> str:
    (field,) = form_fields(form((head, content)), TYPE)
    return field.value


def data_url(head: str, content: bytes) -> str:
    return f"data:{head};base64,{base64.b64encode(content).decode()}"


def test_what_curl_sends() -> None:
    body = form(
        ('; name="image"; filename="cat.png"\r\nContent-Type: image/png', b"\x89PNG\r\n\0"),
        ('; name="top_k"', b"3"),
    )
    assert form_fields(body, TYPE) == [
        FormField("image", data_url("image/png;name=cat.png", b"\x89PNG\r\n\0"), is_file=True),
        FormField("top_k", "3"),
    ]


def test_what_httpx_sends() -> None:
    content = random.Random(1).randbytes(3 * SLICE + 1)
    request = httpx.Request(
        "POST", "http://x/", data={"a": "ä\r\n", "b": ["1", "2"]}, files={"f": ("n", content)}
    )
    fields = form_fields(request.read(), request.headers["content-type"])
    assert fields == [
        FormField("a", "ä\r\n"),
        FormField("b", "1"),
        FormField("b", "2"),
        FormField("f", data_url("application/octet-stream;name=n", content), is_file=True),
    ]


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ('; filename="a.PNG"', "image/png;name=a.PNG"),
        ('; filename="a.png"\r\nContent-Type: application/octet-stream', "image/png;name=a.png"),
        ('; filename="a.png"\r\nContent-Type: image/x-own; q=1', "image/x-own;name=a.png"),
        ('; filename="a.png"\r\nContent-Type: no type,at all', "image/png;name=a.png"),
        ('; filename="weights"', "application/octet-stream;name=weights"),
        ('; filename="-"', "application/octet-stream"),
        ('; filename=""', "application/octet-stream"),
        ('; filename="C:\\\\dir\\\\x y.txt"', "text/plain;name=x%20y.txt"),
        ('; filename="../../etc/passwd"', "application/octet-stream;name=passwd"),
        ('; filename="a;base64,b.txt"', "text/plain;name=a%3Bbase64%2Cb.txt"),
        ("; filename*=UTF-8''%C3%A9.txt", "text/plain;name=%C3%A9.txt"),
        ("\r\nContent-Type: image/png", "image/png"),
    ],
)
def test_the_type_and_the_name_of_a_file(head: str, kind: str) -> None:
    assert value_of(f'; name="f"{head}', b"content") == data_url(kind, b"content")


@pytest.mark.parametrize("head", ["", "\r\nContent-Type: text/plain; charset=utf-8"])
def test_texts(head: str) -> None:
    assert form_fields(form((f'; name="t"{head}', "ä\n".encode())), TYPE) == [FormField("t", "ä\n")]


def test_a_file_input_that_was_left_empty_is_none() -> None:
    assert form_fields(form(('; name="f"; filename=""', b"")), TYPE) == []
    assert (
        value_of('; name="f"; filename="empty.txt"', b"")
        == "data:text/plain;name=empty.txt;base64,"
    )


@given(
    contents=st.lists(st.binary(max_size=50) | st.just(b"\r\n--X") | st.just(b"\r\n--XY\r\n")),
    filler=st.integers(0, 5),
)
def test_whatever_is_in_a_file_arrives(contents: list[bytes], filler: int) -> None:
    contents = [bytes(SLICE - 100 + filler), *contents]
    if any(b"--XX" in content for content in contents):
        return
    body = form(*(('; name="f"; filename="f"', content) for content in contents))
    fields = form_fields(body, TYPE)
    assert [base64.b64decode(field.value.partition(",")[2]) for field in fields] == contents


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (form(), "multipart/form-data", "`boundary`"),
        (form(), f"multipart/form-data; boundary={'x' * 71}", "`boundary`"),
        (b"", TYPE, "its boundary does not occur in it"),
        (b"--YY--", TYPE, "its boundary does not occur in it"),
        (b"x" * (HEADER_MAX + 1), TYPE, "does not begin with its boundary"),
        (form(('; name="a"', b"1"), end=b""), TYPE, "ends without its last boundary"),
        (form(('; name="a"', b"1"), end=b"--XX\r\n"), TYPE, "ends without its last boundary"),
        (b"--XX\r\nX: y\r\n\r\n1\r\n--XX--", TYPE, "no header `Content-Disposition`"),
        (form(("", b"1")), TYPE, "part 1 has no `name`"),
        (form(('; name="a"', b"1"), ('; name=""', b"1")), TYPE, "part 2 has no `name`"),
        (form((f'; name="{"n" * (NAME_MAX + 1)}"', b"1")), TYPE, "a name in part 1 is longer"),
        (form((f'; name="a"; filename="{"n" * (NAME_MAX + 1)}"', b"1")), TYPE, "a name in part 1"),
        (form((f'; name="a"\r\nx: {"x" * HEADER_MAX}', b"1")), TYPE, "header of part 1 is larger"),
        (form((f'; name="a"\r\nx: {"x" * SLICE * 2}', b"1")), TYPE, "header of a part is larger"),
        (form(*[('; name="a"', b"1")] * (PARTS_MAX + 1)), TYPE, f"more than {PARTS_MAX} parts"),
        (form(('; name="a"', b"\xff")), TYPE, "the text of `a` is not UTF-8"),
        (form(('; name="a"\r\nContent-Transfer-Encoding: base64', b"MQ==")), TYPE, "as it is"),
        (b'--XX\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n', TYPE, "not UTF-8"),
    ],
)
def test_bad_forms(body: bytes, content_type: str, words: str) -> None:
    with pytest.raises(BadForm) as caught:
        form_fields(body, content_type)
    assert words in str(caught.value)


def test_the_most_parts() -> None:
    assert len(form_fields(form(*[('; name="a"', b"1")] * PARTS_MAX), TYPE)) == PARTS_MAX
