"""What a served embedding model answers."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from tests.hosting.served import CHAT, said, serving


def test_embeddings(engine_home: Any) -> None:
    route = "/v1/embeddings"
    with serving("minilm", engine_home) as server:
        texts = ["a cat", "a dog", "quantum field theory", "a cat [SEP] [MASK]"]
        answer = server.ask(route, input=texts)
        rows = np.array([entry["embedding"] for entry in answer["data"]])
        assert [entry["index"] for entry in answer["data"]] == [0, 1, 2, 3]
        assert answer["object"] == "list"
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
        assert rows[0] @ rows[1] > rows[0] @ rows[2]
        ids = server.ask("/v1/tokenize", prompt="a cat")["tokens"]
        assert (ids[0], ids[-1]) == (101, 102)
        by_ids = server.ask(route, input=ids)
        np.testing.assert_allclose(by_ids["data"][0]["embedding"], rows[0], atol=1e-5)
        assert by_ids["usage"] == {"prompt_tokens": len(ids), "total_tokens": len(ids)}
        packed = server.ask(route, input="a cat", encoding_format="base64")["data"][0]["embedding"]
        np.testing.assert_allclose(np.frombuffer(base64.b64decode(packed), "<f4"), rows[0], atol=1e-5)
        short = np.array(server.ask(route, input="a cat", dimensions=64)["data"][0]["embedding"])
        np.testing.assert_allclose(short, rows[0][:64] / np.linalg.norm(rows[0][:64]), atol=1e-5)
        many = server.ask(route, input=["a cat"] * 100)["data"]
        np.testing.assert_allclose(many[99]["embedding"], rows[0], atol=1e-5)
        assert server.refusal(route, input="x", dimensions=385)[1]["param"] == "dimensions"
        assert server.refusal(route, input="word " * 600)[1]["code"] == "context_length_exceeded"
        assert server.refusal(CHAT, messages=said("x"))[1]["code"] == "unsupported_model"
