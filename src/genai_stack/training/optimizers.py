"""Muon for the hidden matrices with AdamW for the rest, as the one optimizer a trainer drives."""

from __future__ import annotations

from typing import Any

import torch

MUON_RATE = 10.0
"""Muon's step is this many times AdamW's rate: 2e-3 stands for 0.02, where both work well on small models."""


class MuonWithAdamW(torch.optim.Optimizer):
    """Steps both under one learning rate and one schedule. Its state saves and loads as one."""

    def __init__(self, model: Any, *, lr: float, weight_decay: float) -> None:
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        hidden = [p for name, p in named if p.ndim == 2 and "embed" not in name and "lm_head" not in name]
        others = [p for name, p in named if all(p is not h for h in hidden)]
        self.parts: list[Any] = [
            torch.optim.Muon(hidden, lr=lr * MUON_RATE, weight_decay=weight_decay, momentum=0.95),
            torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
        ]
        super().__init__([group for part in self.parts for group in part.param_groups], {"lr": lr})
        self._share_groups()

    def _share_groups(self) -> None:
        """A schedule sets `lr` on the groups it sees: the parts must hold the very same ones."""
        at = 0
        for part in self.parts:
            count = len(part.param_groups)
            part.param_groups = self.param_groups[at : at + count]
            at += count

    def step(self, closure: Any = None) -> Any:
        loss = closure() if closure is not None else None
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"state": {}, "param_groups": [], "parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]
