"""AWS's inference container for processors, as far as a program in it can tell: its server's Python half.

What it does is what aws/sagemaker-huggingface-inference-toolkit 2.6 (handler_service.py) and awslabs/multi-model-server
1.1 (mms/service.py, mms/context.py) do: `code` comes first on the path, `inference` is imported, `model_fn(model_dir)`
is called once, `transform_fn(model, body, content_type, accept, context)` for each request, and the context has the
status of the answer.

    python container.py FOLDER

serves POST /invocations on a free port of this machine, and prints it and where it has genai_stack from.
"""

from __future__ import annotations

import importlib
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Context:
    def __init__(self) -> None:
        self.status, self.phrase = 200, ""

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        self.status, self.phrase = code, phrase


def serve(folder: str) -> None:
    sys.path.insert(0, f"{folder}/code")
    program: Any = importlib.import_module("inference")
    model = program.model_fn(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kind, context = self.headers["content-type"], Context()
            # JSON comes as text.
            said = program.transform_fn(model, body.decode(), kind, "application/json", context)
            self.send_response(context.status, context.phrase)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, sys.modules["genai_stack"].__file__, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1])
