"""The learning rate each training method starts from, unless it is told another."""

from __future__ import annotations

from collections.abc import Mapping

DEFAULTS: Mapping[str, float] = {"lora": 2e-4, "qlora": 2e-4, "full": 5e-5, "pretrain": 1e-3, "dpo": 2e-5}
