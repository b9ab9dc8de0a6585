"""TransVG's fusion and head against its paper's equations in NumPy."""

import numpy as np
import torch

from tests.train.equations import (
    Array,
    Weights,
    array,
    lively,
    multi_head,
    normal,
    relu,
    same,
    sigmoid,
)
from train.fusion.transvg import PostNormLayer, TransVGFusion

DIM, VISUAL, WORDS, HEADS = 16, 9, 6, 8


def layer(w: Weights, tokens: Array, positions: Array, hidden: Array) -> Array:
    """Post-norm encoder layer; positions are added to queries and keys."""
    queries, keys, values = np.split(w["attention.in_proj_weight"], 3)
    biases = np.split(w["attention.in_proj_bias"], 3)
    placed = tokens + positions
    q, k, v = (
        x @ weight.T + bias
        for x, weight, bias in (
            (placed, queries, biases[0]),
            (placed, keys, biases[1]),
            (tokens, values, biases[2]),
        )
    )
    read = multi_head(q, k, v, HEADS, np.where(hidden, -np.inf, 0.0))
    tokens = w.norm(tokens + w.linear(read, "attention.out_proj"), "norm_attention")
    ffn = w.linear(relu(w.linear(tokens, "ffn.0")), "ffn.3")
    return w.norm(tokens + ffn, "norm_ffn")


@torch.no_grad()
def test_the_whole_forward_pass() -> None:
    fusion = lively(TransVGFusion(DIM, VISUAL, WORDS, layers=3))
    w = Weights(fusion)
    visual, text = normal(1, VISUAL, DIM), normal(2, 5, DIM, seed=2)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    answers = fusion(visual, text, mask)
    places = w["positions"][0]
    for row in range(2):
        tokens = np.concatenate([w["reg"][0], array(text[row]), array(visual[0])])
        positions = np.concatenate([places[:6], places[1 + WORDS :]])
        hidden = np.array([False, *~mask[row].numpy(), *[False] * VISUAL])
        for number in range(3):
            tokens = layer(w.part(f"layers.{number}"), tokens, positions, hidden)
        box = sigmoid(w.mlp(tokens[:1], "box", 0, 2, 4))
        same(answers.boxes[row], box)
        same(answers.logits[row], w.linear(tokens[:1], "score")[:, 0])


@torch.no_grad()
def test_dropout_is_on_what_attention_reads_and_on_what_the_feed_forward_adds() -> None:
    built = lively(PostNormLayer(DIM)).train()
    built.dropout.p = 1.0  # nothing is left of either
    tokens, positions = normal(1, 5, DIM), normal(1, 5, DIM, seed=2)
    w = Weights(built)
    expected = w.norm(w.norm(array(tokens[0]), "norm_attention"), "norm_ffn")
    same(built(tokens, positions, torch.zeros(1, 5, dtype=torch.bool), 5)[0], expected)


def test_the_start_is_the_published_one() -> None:
    torch.manual_seed(0)
    fusion = TransVGFusion(64, 40, 20, layers=2)
    for learned in (fusion.reg, fusion.positions):
        assert 0.8 < float(learned.detach().std()) < 1.2
    for name, parameter in fusion.layers.named_parameters():
        if parameter.dim() > 1:  # Xavier's uniform: within sqrt(6 / (in + out)), and up to it
            limit = (6 / sum(parameter.shape)) ** 0.5
            assert 0.95 * limit < float(parameter.detach().abs().max()) <= limit, name
    layer = fusion.layers[0]
    assert layer.dropout.p == layer.ffn[2].p == layer.attention.dropout == 0.1
    assert fusion.centers.tolist() == [[0.5, 0.5]]
