"""A sagemaker-runtime that costs next to nothing: canned OpenAI JSON, or CHUNKS events in frames of their own, at once.

python -m benchmarks.stub_runtime CHUNKS; it says its port in a line of JSON, and ends with its stdin.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
import threading
from zlib import crc32

from benchmarks.stub_hosting import completion, events

_NAMES = (
    (":message-type", "event"),
    (":event-type", "PayloadPart"),
    (":content-type", "application/octet-stream"),
)
HEADERS = b"".join(
    bytes([len(name)]) + name.encode() + b"\x07" + struct.pack("!H", len(value)) + value.encode()
    for name, value in _NAMES
)


def frame(payload: bytes) -> bytes:
    prelude = struct.pack("!II", 16 + len(HEADERS) + len(payload), len(HEADERS))
    message = prelude + struct.pack("!I", crc32(prelude)) + HEADERS + payload
    return message + struct.pack("!I", crc32(message))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chunks: int) -> None:
    whole, stream = completion(), [frame(event) for event in events(chunks)]
    head_of_stream = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n"
        b"x-amzn-sagemaker-content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
            if b"-response-stream " in head:
                writer.write(head_of_stream)
                for event in stream:
                    writer.write(b"%x\r\n%b\r\n" % (len(event), event))
                    await writer.drain()
                    await asyncio.sleep(0)
                writer.write(b"0\r\n\r\n")
            else:
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                    % (len(whole), whole)
                )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(chunks: int) -> None:
    server = await asyncio.start_server(lambda r, w: answer(r, w, chunks), "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
