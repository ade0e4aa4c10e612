"""Sentence embeddings on the plain OpenVINO runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino as ov

from . import bert
from .architecture import read_encoder
from .weights import FloatArray, open_weights

BATCH = 32


class SentenceEncoder:
    def __init__(self, directory: Path, threads: int) -> None:
        graph = bert.build(read_encoder(directory), open_weights(directory))
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        self._compiled = ov.Core().compile_model(graph, "CPU", settings)

    def encode(self, inputs: list[list[int]]) -> Iterator[tuple[list[int], FloatArray]]:
        """(places in `inputs`, their rows [n, hidden]) in batches of similar length."""
        order = sorted(range(len(inputs)), key=lambda i: len(inputs[i]))
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            width = max(len(inputs[i]) for i in places)
            ids = np.zeros((len(places), width), dtype=np.int64)
            mask = np.zeros((len(places), width), dtype=np.int64)
            for row, place in enumerate(places):
                ids[row, : len(inputs[place])] = inputs[place]
                mask[row, : len(inputs[place])] = 1
            yield places, np.array(self._compiled({"input_ids": ids, "attention_mask": mask})[0])
