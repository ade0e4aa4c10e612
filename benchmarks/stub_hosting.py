"""A model server that costs next to nothing: canned OpenAI JSON, or `chunks` SSE events, at once.

It is started as `genai_stack.hosting` is, so that what is measured is the path in front of it. SOURCE is how many
events a stream has: `python -m benchmarks.stub_hosting 200 --port 0 --announce`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import threading

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
        return (
            b"data: "
            + json.dumps({**ENVELOPE, "object": "chat.completion.chunk", "choices": [choice]}).encode()
            + b"\n\n"
        )

    return [event({"content": f" word{n % 9}"}, None) for n in range(chunks)] + [
        event({}, "stop"),
        b"data: [DONE]\n\n",
    ]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chunks: int) -> None:
    whole, stream = completion(), events(chunks)
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = next(
                (
                    int(v)
                    for k, _, v in (h.partition(b":") for h in head.split(b"\r\n"))
                    if k == b"content-length"
                ),
                0,
            )
            body = await reader.readexactly(length)
            if head.startswith(b"get /ping"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                continue
            if b'"stream":true' in body.replace(b" ", b""):
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
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
    print(json.dumps({"port": server.sockets[0].getsockname()[1], "pid": os.getpid()}), flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("chunks", type=int)
    asyncio.run(main(parser.parse_known_args()[0].chunks))
