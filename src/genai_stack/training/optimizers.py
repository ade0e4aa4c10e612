"""Muon for the hidden matrices with AdamW for the rest, as the one optimizer a trainer drives."""

from __future__ import annotations

import math
from typing import Any

import torch

MUON_RATE = 10.0
"""Muon's step is this many times AdamW's rate: 2e-3 stands for 0.02, where both work well on small models."""


STEPS, COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)
"""Newton-Schulz: how many rounds, and the quintic's coefficients (https://kellerjordan.github.io/posts/muon/)."""


def orthogonal(matrix: Any) -> Any:
    """The matrix with its singular values pushed to about one, in float32: torch's own Muon computes in bfloat16, which
    processors without it do 25 times slower."""
    a, b, c = COEFFICIENTS
    tall = matrix.size(0) > matrix.size(1)
    x = (matrix.T if tall else matrix).float()
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Steps along the orthogonalized momentum (Nesterov's) of a matrix; weight decay is decoupled."""

    def __init__(self, params: Any, *, lr: float, weight_decay: float, momentum: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._step(p, group)

    def _step(self, p: Any, group: dict[str, Any]) -> None:
        momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
        momentum.lerp_(p.grad, 1 - group["momentum"])
        update = orthogonal(p.grad.lerp(momentum, group["momentum"])).to(p.dtype)
        p.mul_(1 - group["lr"] * group["weight_decay"])
        p.add_(update, alpha=-group["lr"] * math.sqrt(max(1.0, p.size(0) / p.size(1))))


class MuonWithAdamW(torch.optim.Optimizer):
    """Steps both under one learning rate and one schedule. Its state saves and loads as one."""

    def __init__(self, model: Any, *, lr: float, weight_decay: float) -> None:
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        hidden = [p for name, p in named if p.ndim == 2 and "embed" not in name and "lm_head" not in name]
        others = [p for name, p in named if all(p is not h for h in hidden)]
        self.parts: list[Any] = [
            Muon(hidden, lr=lr * MUON_RATE, weight_decay=weight_decay, momentum=0.95),
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
