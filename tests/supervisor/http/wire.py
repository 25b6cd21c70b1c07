"""HTTP/1.1 by hand: what a client library would not let us do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trio


def message(body: bytes = b"{}", *headers: str, path: str = "/predictions") -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "host: x",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def read_answer(stream: trio.SocketStream) -> tuple[int, dict[str, str], bytes]:
    """One HTTP answer with a content length."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = await stream.receive_some()
        if not more:
            raise EOFError(data)
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    rest = bytearray(body)
    while len(rest) < int(headers["content-length"]):
        more = await stream.receive_some()
        if not more:
            raise EOFError(len(rest))
        rest += more
    return int(first.split()[1]), headers, bytes(rest)


async def read_to_end(stream: trio.SocketStream) -> bytes:
    return b"".join([bytes(chunk) async for chunk in stream])
