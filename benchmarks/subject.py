"""The product's API as `genai-stack up` runs it, over the stub model server.

python -m benchmarks.subject HOME PORT KEY CHUNKS
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import uvicorn

from genai_stack.config import ModelConfig, PriceConfig, StackConfig
from genai_stack.local.home import Home
from genai_stack.local.host import LoopbackHost
from genai_stack.service.app import build_app
from genai_stack.service.keys import ApiKeys
from genai_stack.wiring import local_services


def main(home: Path, port: int, key: str, chunks: str) -> None:
    config = StackConfig(
        models=(ModelConfig("builtin", chunks),), prices=(PriceConfig("builtin", 0.15, 0.075, 0.6),)
    )
    services = local_services(home, config)
    host = LoopbackHost(Home(home), services.registry, program="benchmarks.stub_hosting")
    services = msgspec.structs.replace(services, models=host)
    app = build_app(services, keys=ApiKeys(services.records, key), config=config)
    uvicorn.run(
        app, port=port, access_log=False, log_config=None, loop="uvloop", http="httptools", server_header=False
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
