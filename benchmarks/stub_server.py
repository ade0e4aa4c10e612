"""A model server that costs next to nothing: canned OpenAI JSON, or `chunks` SSE events, at once.

It stands where `genai_stack.hosting` stands, so that what is measured is the path in front of it.
    python -m benchmarks.stub_server PORT CHUNKS
"""

from __future__ import annotations

import asyncio
import json
import sys

USAGE = {"prompt_tokens": 12, "completion_tokens": 16, "total_tokens": 28}
ENVELOPE = {"id": "chatcmpl-stub", "created": 0, "model": "builtin"}


def completion() -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "A short answer of no interest."},
        "finish_reason": "stop",
        "logprobs": None,
    }
    body = {**ENVELOPE, "object": "chat.completion", "choices": [choice], "usage": USAGE}
    return json.dumps(body).encode()


def events(chunks: int) -> list[bytes]:
    def event(delta: dict[str, str], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + json.dumps({**ENVELOPE, "object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"

    return [event({"content": " word"}, None) for _ in range(chunks)] + [event({}, "stop"), b"data: [DONE]\n\n"]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chunks: int) -> None:
    whole, stream = completion(), events(chunks)
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = next((int(v) for k, _, v in (h.partition(b":") for h in head.split(b"\r\n")) if k == b"content-length"), 0)
            body = await reader.readexactly(length)
            if b'"stream":true' in body.replace(b" ", b""):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
                for event in stream:
                    writer.write(b"%x\r\n%b\r\n" % (len(event), event))
                    await writer.drain()
                    await asyncio.sleep(0)
                writer.write(b"0\r\n\r\n")
            else:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(whole), whole))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(port: int, chunks: int) -> None:
    server = await asyncio.start_server(lambda r, w: answer(r, w, chunks), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
