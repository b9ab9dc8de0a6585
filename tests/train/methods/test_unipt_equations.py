"""UniPT against its paper's equations in NumPy: two streams, and the joint encoder-decoder."""

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import DetrConfig, DetrModel, ResNetConfig

from tests.train.equations import (
    Array,
    Weights,
    array,
    lively,
    normal,
    relu,
    same,
    sigmoid,
    softmax,
)
from train.methods.unipt import JointInputs, JointUniPT, UniPT

EPS = 1e-7
JOINT_LAYERS = ((1, 3, 5), (1, 3))
"""Of the encoder's six and the decoder's five: taps are their outputs, 0 would be the input."""


def relu_attention(queries: Array, context: Array, seen: Array) -> Array:
    """Rows of ReLU(Q K^T), hidden keys left out, made to sum to 1; times V = K."""
    scores = relu(queries @ context.T) * seen
    return scores / (scores.sum(-1, keepdims=True) + EPS) @ context


def project(w: Weights, x: Array, name: str) -> Array:
    """LN(W x)."""
    return w.norm(w.linear(x, f"{name}.0"), f"{name}.1")


def parallel(
    w: Weights, taps: list[Array], seen: Array, memory: tuple[Array, Array] | None = None
) -> Array:
    """Q + LN(W ReLU(W' sum_i c_i F'_i)), F'_i = (M + I) V_i, c = softmax(w . (mean Q * mean V_i)).

    `seen` (N,) is 1 for tokens and 0 for padding. With `memory`, the encoder's side output and its
    mask, every V_i first gets LN(W A) added, A its ReLU attention to it without the identity.
    """
    *earlier, last = taps
    q = project(w, last, "guide")
    values = [project(w, tap, f"project.{i}") for i, tap in enumerate(earlier)]
    if memory is not None:
        read = [relu_attention(v, *memory) for v in values]
        values = [
            v + project(w, a, f"cross.{i}")
            for i, (v, a) in enumerate(zip(values, read, strict=True))
        ]
    mean = lambda x: (x * seen[:, None]).sum(0) / seen.sum()  # noqa: E731
    confidence = [w.linear(mean(q) * mean(v), "confidence")[0] for v in values]
    shares = softmax(np.array(confidence))
    joined = [relu_attention(q, v, seen) + v for v in values]
    mixed = sum(share * each for share, each in zip(shares, joined, strict=True))
    hidden = relu(w.linear(mixed, "ffn.0"))
    return q + w.norm(w.linear(hidden, "ffn.2"), "ffn.3")


def output(w: Weights, x: Array) -> Array:
    """LN(W ReLU(x))."""
    return w.norm(w.linear(relu(x), "out.1"), "out.2")


def test_two_streams() -> None:
    method = lively(UniPT([6, 7, 9], [5, 8], 4, 3))
    seen = [normal(2, 11, c, seed=c) for c in (6, 7, 9)]
    read = [normal(2, 6, c, seed=c) for c in (5, 8)]
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    visual, words = method.encode_vision(seen), method.encode_text(read, mask)
    for row in range(2):
        for name, taps, got, tokens in (
            ("vision", seen, visual, np.ones(11)),
            ("text", read, words, array(mask[row])),
        ):
            w = Weights(method).part(name)
            side = parallel(w.part("network"), [array(tap[row]) for tap in taps], tokens)
            same(got[row], output(w, side))


def test_a_row_that_attends_to_nothing_stays_zero() -> None:
    """All products are negative: only the identity is left, and nothing divides by zero."""
    method = lively(UniPT([3, 3], [3, 3], 2, 2))
    network = method.vision.network
    with torch.no_grad():
        for part, sign in ((network.guide, 1.0), (network.project[0], -1.0)):
            part[1].weight.zero_()
            part[1].bias.fill_(sign)
    taps = [normal(1, 4, 3), normal(1, 4, 3, seed=2)]
    w = Weights(network)
    want = parallel(w, [array(tap[0]) for tap in taps], np.ones(4))
    same(network(taps)[0], want)
    small = normal(1, 4, 3, seed=3)
    with torch.no_grad():  # and a sum near zero is not blown up
        network.guide[1].bias.copy_(torch.tensor([1e-9, 0.0]))
        network.project[0][1].bias.copy_(torch.tensor([1.0, 0.0]))
    want = parallel(Weights(network), [array(small[0]), array(taps[1][0])], np.ones(4))
    same(network([small, taps[1]])[0], want, 1e-12)


@pytest.fixture(scope="module")
def joint() -> JointUniPT:
    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 8, 8], out_features=["stage4"])
    config = DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone_config=backbone,
        d_model=16,
        decoder_layers=5,
        num_queries=5,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
    )
    torch.manual_seed(0)
    detr = DetrModel(config).eval()
    parts = (detr.encoder, detr.decoder, detr.query_position_embeddings)
    return lively(JointUniPT(*parts, normal(9, 16, seed=5).float(), 6))


def frozen_taps(joint: JointUniPT, visual: Tensor, text: Tensor) -> tuple[list[Array], list[Array]]:
    """What the frozen encoder and decoder give for one phrase without padding."""
    tokens = torch.cat([visual, text], 1)
    places = torch.cat([joint.positions, torch.zeros_like(text)], 1)
    encoded = joint.encoder(inputs_embeds=tokens, object_queries=places, output_hidden_states=True)
    queries = joint.queries.weight[None]
    decoded = joint.decoder(
        inputs_embeds=torch.zeros_like(queries),
        encoder_hidden_states=encoded.last_hidden_state,
        object_queries=places,
        query_position_embeddings=queries,
        output_hidden_states=True,
    )
    chosen = [
        [array(out.hidden_states[layer][0]) for layer in layers] + [array(out.last_hidden_state[0])]
        for out, layers in zip((encoded, decoded), JOINT_LAYERS, strict=True)
    ]
    return chosen[0], chosen[1]


@torch.no_grad()
def test_the_joint_form(joint: JointUniPT) -> None:
    visual, text = normal(1, 9, 16), normal(2, 4, 16, seed=2)
    mask = torch.tensor([[True] * 4, [True] * 2 + [False] * 2])
    answers = joint(visual, text, mask)
    w = Weights(joint)
    for row, length in enumerate((4, 2)):
        encoded, decoded = frozen_taps(joint, visual, text[row : row + 1, :length])
        side = parallel(w.part("side_encoder"), encoded, np.ones(9 + length))
        memory = (side, np.ones(9 + length))
        side = parallel(w.part("side_decoder"), decoded, np.ones(5), memory)
        out = output(w, side)
        # The frozen network hides padding with a large number, which leaves a rounding error.
        same(answers.boxes[row], sigmoid(w.mlp(out, "box", 0, 2, 4)), 1e-6)
        same(answers.logits[row], w.linear(out, "score")[:, 0], 1e-6)


def test_the_words_are_projected_into_the_joint_network_and_pixels_are_not() -> None:
    inputs = lively(JointInputs([5, 7, 6], 4))
    taps, seen = [normal(2, 3, c, seed=c) for c in (5, 7, 6)], [normal(2, 9, 4)]
    words = inputs.encode_text(taps, torch.ones(2, 3, dtype=torch.bool))
    same(words[0], Weights(inputs).linear(array(taps[-1][0]), "text"))
    assert inputs.encode_vision(seen) is seen[-1]
    assert not any(p.requires_grad for p in inputs.parameters())
