"""What a guard model says of a text, as OpenAI's categories.

Two families are read. Llama Guard 3 and 4 answer `safe`, or `unsafe` and a line of MLCommons' hazards (`S1,S10`;
https://huggingface.co/meta-llama/Llama-Guard-3-8B). Qwen3Guard-Gen answers `Safety: Safe`, `Unsafe` or `Controversial`
and `Categories: …` (https://huggingface.co/Qwen/Qwen3Guard-Gen-0.6B). A kind of harm that OpenAI has no category for
(privacy, copyright, elections …) flags a text without any.
"""

from __future__ import annotations

import re

from ..protocol.moderation import CATEGORIES, ModerationResult

DOUBTFUL = 0.5
HAZARDS: dict[str, tuple[str, ...]] = {
    "S1": ("violence", "illicit/violent"),
    "S2": ("illicit",),
    "S3": ("sexual", "illicit"),
    "S4": ("sexual/minors", "sexual"),
    "S5": ("harassment",),
    "S9": ("illicit/violent", "illicit"),
    "S10": ("hate",),
    "S11": ("self-harm",),
    "S12": ("sexual",),
    "S14": ("illicit",),
}
KINDS: dict[str, tuple[str, ...]] = {
    "violent": ("violence",),
    "non-violent illegal acts": ("illicit",),
    "sexual content or sexual acts": ("sexual",),
    "suicide & self-harm": ("self-harm",),
    "unethical acts": ("harassment", "hate"),
}
_LLAMA = re.compile(r"\s*(safe|unsafe)\b(?:\s*\n\s*(S\d{1,2}(?:\s*,\s*S\d{1,2})*))?\s*", re.IGNORECASE)
_QWEN = re.compile(r"Safety:\s*(Safe|Unsafe|Controversial)\b", re.IGNORECASE)
_QWEN_KINDS = re.compile(r"Categories:\s*([^\n]*)", re.IGNORECASE)


def verdict(said: str) -> ModerationResult | None:
    """None for what neither family says."""
    if qwen := _QWEN.search(said):
        score = {"safe": 0.0, "unsafe": 1.0, "controversial": DOUBTFUL}[qwen[1].lower()]
        named = _QWEN_KINDS.search(said)
        kinds = [kind.strip().lower() for kind in (named[1] if named else "").split(",")]
        return _result(score, {category for kind in kinds for category in KINDS.get(kind, ())})
    if llama := _LLAMA.fullmatch(said):
        hazards = re.findall(r"S\d{1,2}", (llama[2] or "").upper())
        score = 1.0 if llama[1].lower() == "unsafe" else 0.0
        return _result(score, {category for hazard in hazards for category in HAZARDS.get(hazard, ())})
    return None


def _result(score: float, found: set[str]) -> ModerationResult:
    """The models say a word and no number: a category has the text's score, or 0."""
    scores = {category: score if category in found else 0.0 for category in CATEGORIES}
    return ModerationResult(
        flagged=score > DOUBTFUL,
        categories={category: value > DOUBTFUL for category, value in scores.items()},
        category_scores=scores,
        category_applied_input_types={category: ["text"] for category in CATEGORIES},
    )
