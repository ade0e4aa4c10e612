#!/bin/sh
# Lambda Web Adapter starts this in place of the runtime's own loop, and forwards what comes to the port over HTTP.
# Nothing that a client sends is taken for a proxy's word; access is logged by the application, without keys or prompts.
cd "$(dirname "$0")" || exit
exec python3 -m uvicorn handler:app --host 127.0.0.1 --port "${AWS_LWA_PORT:-8080}" --loop uvloop --http httptools \
  --ws none --no-proxy-headers --no-server-header --no-access-log --log-level warning --timeout-graceful-shutdown 2
