"""Anatomy is what transformers computes; what is told of it is what was asked for, whatever the text."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_stack import sources
from genai_stack.errors import ContextLengthExceeded, InvalidModel, RequestError
from genai_stack.hosting.anatomy import plan
from genai_stack.hosting.anatomy.arithmetic import gelu, project, silu, softmax, unit
from genai_stack.hosting.anatomy.dissect import Stopped, dissect, encode
from genai_stack.hosting.anatomy.opening import open_model
from genai_stack.hosting.text import Text, load_text
from genai_stack.protocol.anatomy import Anatomy, AnatomyRequest
from tests.hosting.models import write_adapter, write_model, write_tokenizer
from tests.hosting.test_graphs import LLAMA3

TEXT = "The quick brown fox jumps over the lazy dog. A stitch in time saves nine: naïve café 🙂."
TOLERANCE = {"atol": 1e-4, "rtol": 0}


def write_encoder(directory: Path) -> Any:
    """A random BERT of two layers that fills gaps."""
    import torch
    from transformers import AutoConfig, AutoModelForMaskedLM

    tokenizer = write_tokenizer(directory)
    torch.manual_seed(7)
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
        "initializer_range": 0.3,
    }
    model = AutoModelForMaskedLM.from_config(AutoConfig.for_model("bert", **shape)).float().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "Norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(directory)
    return model


def reading(model: Any, ids: list[int]) -> Any:
    """What transformers sees: logits [T, V], attentions and hidden states per layer."""
    import torch

    model.set_attn_implementation("eager")
    with torch.no_grad():
        return model(torch.tensor([ids]), output_attentions=True, output_hidden_states=True)


def asked(directory: Path, text: str = TEXT, adapter: Path | None = None, **options: Any) -> Anatomy:
    request = AnatomyRequest("base", text, **options)
    return dissect(open_model(directory, adapter), load_text(directory), request, context=512)


def equals_transformers(model: Any, directory: Path, adapter: Path | None = None) -> None:
    vocabulary = model.config.vocab_size
    options: dict[str, Any] = {"attention_top": None, "vectors": True, "top_k": vocabulary, "neighbours": 0}
    told = asked(directory, adapter=adapter, **options)
    ids = [token.id for token in told.tokens]
    true = reading(model, ids)
    logits = np.zeros((len(ids), vocabulary))
    assert told.output is not None
    for prediction in told.output:
        logits[prediction.position, [c.id for c in prediction.top]] = [c.logit for c in prediction.top]
        assert sum(c.probability for c in prediction.top) + prediction.rest == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(logits, true.logits[0].numpy(), **TOLERANCE)
    assert told.attention is not None
    assert len(told.attention) == told.shape.layers * told.shape.heads
    for part in told.attention:
        found = np.array([row.weights for row in part.rows])
        np.testing.assert_allclose(found.sum(axis=1), 1, **TOLERANCE)
        np.testing.assert_allclose(found, true.attentions[part.layer][0, part.head].numpy(), **TOLERANCE)
    assert told.states is not None
    for state in told.states:
        if told.shape.kind == "decoder" and state.layer == told.shape.layers - 1:
            continue  # transformers tells the last one normed
        expected = true.hidden_states[state.layer + 1][0, state.position].numpy()
        np.testing.assert_allclose(state.vector, expected, **TOLERANCE)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("llama", {"tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True}),
        ("llama", {"rope_parameters": LLAMA3}),
        ("qwen2", {"num_key_value_heads": 1}),
        ("qwen3", {"head_dim": 32}),
    ],
    ids=["llama-bias", "llama3-rope", "qwen2", "qwen3"],
)
def test_a_decoder_equals_transformers(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    equals_transformers(write_model(tmp_path, kind, **options), tmp_path)


def test_an_encoder_equals_transformers(tmp_path: Path) -> None:
    equals_transformers(write_encoder(tmp_path), tmp_path)


def test_an_adapter_is_merged_in(tiny: Any, tiny_dir: Path, tmp_path: Path) -> None:
    tuned = write_adapter(copy.deepcopy(tiny), tmp_path)
    equals_transformers(tuned.merge_and_unload(), tiny_dir, tmp_path)


def test_the_built_in_model_equals_transformers() -> None:
    from transformers import AutoModelForCausalLM

    directory = sources.resolve("builtin")
    told = asked(directory, "Where is Rome?", top_k=1, steps=["output"])
    model = AutoModelForCausalLM.from_pretrained(directory).float().eval()
    true = reading(model, [token.id for token in told.tokens]).logits[0].numpy()
    assert told.output is not None
    found = np.array([(prediction.top[0].id, prediction.top[0].logit) for prediction in told.output])
    np.testing.assert_array_equal(found[:, 0], true.argmax(axis=-1))
    np.testing.assert_allclose(found[:, 1], true.max(axis=-1), **TOLERANCE)


@pytest.mark.parametrize(
    ("length", "limit"), [(512, 512), (64, 64)], ids=["the most it looks at", "a shorter context"]
)
def test_a_text_up_to_the_limit_and_no_longer(tiny: Any, tiny_dir: Path, length: int, limit: int) -> None:
    model, text = open_model(tiny_dir), load_text(tiny_dir)

    def look(written: str) -> Anatomy:
        request = AnatomyRequest("base", written, steps=["output"], top_k=1)
        return dissect(model, text, request, context=limit)

    assert len(look("^" * length).tokens) == length
    for written in ("^" * (length + 1), "a" * 10_000_000):
        with pytest.raises(ContextLengthExceeded, match=f"{limit} tokens") as caught:
            look(written)
        assert caught.value.param == "text"


@pytest.fixture(scope="module")
def minilm() -> tuple[Any, Text]:
    directory = sources.resolve("minilm")
    return open_model(directory), load_text(directory)


def rebuilt(told: Anatomy) -> bytes:
    """The text out of its tokens and what none of them stands for."""
    parts = [(t.start, t.end, bytes(t.bytes)) for t in told.tokens]
    parts += [(s.start, s.end, s.text.encode()) for s in told.skipped]
    whole = b""
    for start, end, part in sorted(parts):
        assert (start, end) == (len(whole), len(whole) + len(part))
        whole += part
    return whole


WRITTEN = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from(list("aé \n🙂漢<|im_start|>[MASK]\u0301\ufb01")),
    min_size=1,
    max_size=24,
)


@settings(max_examples=40)
@given(WRITTEN, st.booleans(), st.booleans())
def test_no_byte_of_a_text_is_lost(
    tiny: Any, tiny_dir: Path, minilm: tuple[Any, Text], written: str, control: bool, added: bool
) -> None:
    for model, text in ((open_model(tiny_dir), load_text(tiny_dir)), minilm):
        request = AnatomyRequest(
            "m", written, steps=["tokens"], parse_special=control, add_special_tokens=added
        )
        ids = (text.encode if control else text.encode_plain)(written, special=added)
        if not ids:  # spaces alone, to an encoder
            with pytest.raises(RequestError, match="no tokens"):
                dissect(model, text, request)
            continue
        told = dissect(model, text, request)
        assert rebuilt(told) == written.encode()
        assert [token.id for token in told.tokens] == ids
        assert told.embeddings is told.attention is told.states is told.output is told.pooled is None


@pytest.mark.parametrize("normal", [{"type": "NFC"}, {"type": "Prepend", "prepend": " "}], ids=str)
def test_a_vocabulary_that_changes_the_text_loses_nothing(
    tiny: Any, tiny_dir: Path, normal: dict[str, str]
) -> None:
    raw = msgspec.json.decode((tiny_dir / "tokenizer.json").read_bytes())
    text = Text(msgspec.json.encode({**raw, "normalizer": normal}), None)
    for written in ("cafe\u0301 🙂!", "plain"):
        told = dissect(open_model(tiny_dir), text, AnatomyRequest("m", written, steps=["tokens"]))
        assert rebuilt(told) == written.encode()


def test_control_tokens_in_a_text_are_text_unless_asked(tiny: Any, tiny_dir: Path) -> None:
    plain = asked(tiny_dir, "<|im_end|>", steps=["tokens"])
    assert 2 not in {token.id for token in plain.tokens}
    read = asked(tiny_dir, "<|im_end|>", steps=["tokens"], parse_special=True)
    assert [(t.id, t.text, t.added) for t in read.tokens] == [(2, "<|im_end|>", False)]


def test_a_sparse_answer_is_the_dense_one_s_largest(tiny: Any, tiny_dir: Path) -> None:
    dense, sparse = asked(tiny_dir), asked(tiny_dir, attention_top=3, layers=[1], heads=[2], positions=[9, 4])
    assert dense.attention is not None
    assert sparse.attention is not None
    (part,) = sparse.attention
    assert (part.layer, part.head, [row.position for row in part.rows]) == (1, 2, [4, 9])
    (whole,) = [p for p in dense.attention if (p.layer, p.head) == (1, 2)]
    for row in part.rows:
        weights = whole.rows[row.position].weights
        assert row.to == sorted(range(len(weights)), key=lambda i: -weights[i])[:3]
        assert row.weights == [weights[i] for i in row.to]
        assert sum(row.weights) + row.rest == pytest.approx(1, abs=1e-6)
    assert sparse.states is not None
    assert [(s.layer, s.position) for s in sparse.states] == [(1, 4), (1, 9)]
    mean = asked(tiny_dir, heads="mean", layers=[1]).attention
    heads = [[row.weights for row in p.rows] for p in dense.attention if p.layer == 1]
    assert mean is not None
    assert mean[0].head is None
    np.testing.assert_allclose([row.weights for row in mean[0].rows], np.mean(heads, axis=0), atol=1e-6)
    assert len(encode(sparse)) < len(encode(dense)) / 8


def test_a_long_text_is_told_sparsely(tiny: Any, tiny_dir: Path) -> None:
    told = asked(tiny_dir, "^" * 65, steps=["attention"], neighbours=0)
    assert told.attention is not None
    assert all(len(row.to or ()) == min(16, len(row.weights)) for part in told.attention for row in part.rows)


def test_temperature_and_lens(tiny: Any, tiny_dir: Path) -> None:
    def output(**options: Any) -> Any:
        return asked(tiny_dir, steps=["output"], top_k=400, **options).output

    plain, hot, certain, lens = output(), output(temperature=2.0), output(temperature=0.0), output(lens=True)
    for cold, warm, sure, seen in zip(plain, hot, certain, lens, strict=True):
        logits = np.array([c.logit for c in cold.top])
        for told, temperature in ((cold, 1.0), (warm, 2.0)):
            expected = softmax(logits / temperature)
            np.testing.assert_allclose([c.probability for c in told.top], expected, atol=1e-6)
        assert [c.probability for c in sure.top][:2] == [1, 0]
        assert warm.entropy > cold.entropy > sure.entropy == 0
        assert [one.layer for one in seen.lens] == [0, 1]
        assert seen.lens[-1].top == seen.top
        assert seen.lens[0].top != seen.top
    assert [p.next.id for p in plain[:-1]] == [t.id for t in asked(tiny_dir, steps=["tokens"]).tokens[1:]]
    assert plain[-1].next is None


def test_where_vectors_go(tiny: Any, tiny_dir: Path) -> None:
    """What is told of a movement is that of the vectors themselves."""
    told = asked(tiny_dir, vectors=True, neighbours=3, dimensions=3, compare=["fox"])
    table = open_model(tiny_dir).table
    assert told.states is not None
    assert told.embeddings is not None
    before = {entry.position: np.array(entry.vector) for entry in told.embeddings}
    for entry in told.embeddings:
        np.testing.assert_allclose(entry.vector, table[told.tokens[entry.position].id], atol=1e-6)
        assert len(entry.point) == 3
    for state in told.states:
        vector = np.array(state.vector)
        moved = vector - before[state.position]
        assert np.linalg.norm(moved) == pytest.approx(state.moved, abs=1e-4)
        for direction, near in ((vector, state.nearest), (moved, state.towards)):
            cosines = unit(table) @ unit(direction)
            cosines[told.tokens[state.position].id] = -1
            assert [n.id for n in near] == np.argsort(-cosines)[:3].tolist()
            np.testing.assert_allclose([n.similarity for n in near], np.sort(cosines)[::-1][:3], atol=1e-5)
        assert state.compared is not None
        assert len(state.compared) == 1
        before[state.position] = vector


def test_an_encoder_s_last_step_is_its_embedding(minilm: tuple[Any, Text]) -> None:
    from genai_stack.hosting.encoder import SentenceEncoder

    model, text = minilm
    written = "a cat sat"
    told = dissect(model, text, AnatomyRequest("m", written, vectors=True, neighbours=0))
    ((_, rows),) = SentenceEncoder(sources.resolve("minilm"), 1).encode(
        [text.encode_plain(written, special=True)]
    )
    assert told.pooled is not None
    np.testing.assert_allclose(told.pooled.vector, rows[0], **TOLERANCE)
    assert told.output is None
    assert len(told.pooled.similarity) == len(told.tokens)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"layers": [2]}, "layers"),
        ({"heads": [0, 4]}, "heads"),
        ({"positions": [99]}, "positions"),
        ({"top_k": 401}, "top_k"),
        ({"attention_top": 100}, "attention_top"),
        ({"compare": ["x" * 600]}, "compare[0]"),
    ],
    ids=str,
)
def test_what_the_model_doesnt_have_is_refused_by_name(
    tiny: Any, tiny_dir: Path, options: dict[str, Any], param: str
) -> None:
    with pytest.raises(RequestError) as caught:
        asked(tiny_dir, **options)
    assert (caught.value.param, caught.value.code) == (param, "invalid_value")


@pytest.mark.parametrize("options", [{"steps": ["output"]}, {"top_k": 3}, {"lens": True}], ids=str)
def test_a_sentence_encoder_predicts_nothing(minilm: tuple[Any, Text], options: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="no output projection") as caught:
        dissect(*minilm, AnatomyRequest("m", "a cat", **options))
    assert caught.value.param == next(iter(options))


def test_an_answer_too_large_is_refused_before_any_work(
    tiny: Any, tiny_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MAX_NUMBERS", 1000)
    with pytest.raises(RequestError, match="'attention_top'") as caught:
        asked(tiny_dir)
    assert caught.value.code == "answer_too_large"
    assert asked(tiny_dir, steps=["tokens"]).tokens


def test_it_stops_when_nobody_waits(tiny: Any, tiny_dir: Path) -> None:
    with pytest.raises(Stopped):
        dissect(open_model(tiny_dir), load_text(tiny_dir), AnatomyRequest("m", "a"), stopped=lambda: True)


def test_the_encoded_answer_reads_back(tiny: Any, tiny_dir: Path) -> None:
    told = asked(tiny_dir, vectors=True, lens=True)
    assert msgspec.json.decode(encode(told), type=Anatomy) == told


def test_weights_that_cant_be_used(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel):
        open_model(tmp_path)


def test_the_arithmetic() -> None:
    import torch

    x = np.linspace(-90, 90, 721, dtype=np.float32)
    for ours, theirs in ((gelu, torch.nn.functional.gelu), (silu, torch.nn.functional.silu)):
        np.testing.assert_allclose(ours(x), theirs(torch.from_numpy(x)).numpy(), atol=2e-6)
    rows = np.random.default_rng(1).normal(size=(6, 40)).astype(np.float32)
    for points in (rows, rows.T):
        flat = project(points, 3)
        _, sizes, _ = np.linalg.svd(points - points.mean(axis=0))
        np.testing.assert_allclose(np.linalg.norm(flat, axis=0), sizes[:3], rtol=1e-4)
    assert project(rows[:1], 2).tolist() == [[0, 0]]
