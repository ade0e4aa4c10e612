"""The API of a stage: `genai-stack up`'s application over the account. run.sh serves it."""

from __future__ import annotations

import logging
import sys

from genai_stack.config import find_config, load_config
from genai_stack.loading import uncollected
from genai_stack.service import ApiKeys, build_app
from genai_stack.settings import stage
from genai_stack.wiring import aws_services

logging.basicConfig(stream=sys.stdout, level=logging.WARNING, format="%(message)s")
logging.getLogger("genai_stack.service").setLevel(logging.INFO)
with uncollected():
    services, config = aws_services(stage()), load_config(find_config())
    app = build_app(services, keys=ApiKeys(services.records), config=config, stage=stage(), freezes=True)
