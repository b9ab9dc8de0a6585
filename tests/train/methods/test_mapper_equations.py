"""MaPPER against its paper's equations in NumPy: LoCA, DyPA, PGT, and where they sit."""

import numpy as np
import pytest
import torch

from tests.tiny_frozen import LAYERS, PIXELS, frozen_bert, frozen_dinov2, two_phrases
from tests.train.equations import Array, Weights, array, lively, normal, relu, same
from train.encoders.transformer import ViT
from train.encoders.vision import frozen
from train.methods.head_only import HeadOnly
from train.methods.mapper import MaPPER, guide_text, localise_vision
from train.methods.mapper.model import DyPA, LoCA
from train.methods.mapper.prior import SelfPrior

BATCH_NORM_EPS = 1e-3
ADAPTED = (1, 3, 5)
"""Of six layers: the last of each third."""


def conv_bn_relu(w: Weights, image: Array, name: str) -> Array:
    """(H, W, C) -> (H, W, C'): convolution with zeros around the image, batch norm, ReLU."""
    kernel = w[f"{name}.0.weight"]
    reach = kernel.shape[-1] // 2
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)))
    out = np.zeros((*image.shape[:2], len(kernel))) + w[f"{name}.0.bias"]
    for y, x in np.ndindex(*image.shape[:2]):
        for dy, dx in np.ndindex(*kernel.shape[2:]):
            out[y, x] += kernel[:, :, dy, dx] @ padded[y + dy, x + dx]
    apart = out - w[f"{name}.1.running_mean"]
    normed = apart / np.sqrt(w[f"{name}.1.running_var"] + BATCH_NORM_EPS)
    return relu(normed * w[f"{name}.1.weight"] + w[f"{name}.1.bias"])


def loca(w: Weights, tokens: Array, cls_tokens: int) -> Array:
    """U (concat[CLS, b1 || b2] + x0) with x0 = ReLU(W x), b1 and b2 over the map of the patches."""
    x0 = relu(w.linear(tokens, "down"))
    cls, patches = x0[:cls_tokens], x0[cls_tokens:]
    side = int(len(patches) ** 0.5)
    image = patches.reshape(side, side, -1)
    b1 = conv_bn_relu(w, image, "wide")
    b2 = conv_bn_relu(w, conv_bn_relu(w, image, "local.0"), "local.1")
    mixed = np.concatenate([b1, b2], -1).reshape(side * side, -1)
    return w.linear(np.concatenate([cls, mixed]) + x0, "up")


def dypa(w: Weights, tokens: Array, prior: Array) -> Array:
    """ReLU(w p) U ReLU(W LN(a) + G p) with p = LN(prior); the paper's formula has no G."""
    told = w.norm(prior, "norm_prior")
    hidden = relu(w.linear(w.norm(tokens, "norm"), "down") + w.linear(told, "guide"))
    return relu(w.linear(told, "scale")) * w.linear(hidden, "up")


@pytest.mark.parametrize("cls_tokens", [0, 1])
@pytest.mark.parametrize("width", [24, 96])  # below 32 the narrowest layer still has a channel
def test_loca(cls_tokens: int, width: int) -> None:
    module = lively(LoCA(width, cls_tokens))
    assert module.down.out_features == 12 * max(1, width // 32)  # 288 for the published 768
    tokens = normal(2, cls_tokens + 9, width)
    got = module(tokens)
    for row in range(2):
        same(got[row], loca(Weights(module), array(tokens[row]), cls_tokens))


def test_dypa() -> None:
    module = lively(DyPA(24, 8))
    tokens, prior = normal(2, 5, 24), normal(2, 5, 8, seed=2)
    got = module(tokens, prior)
    for row in range(2):
        same(got[row], dypa(Weights(module), array(tokens[row]), array(prior[row])))


def test_pgt_reads_text_and_prior_and_the_projections_follow() -> None:
    method = lively(MaPPER([7], [6, 4], 5))
    text, prior, seen = normal(2, 3, 6), normal(2, 3, 4, seed=2), normal(2, 9, 7, seed=3)
    w = Weights(method)
    words = method.encode_text([text, prior], torch.ones(2, 3, dtype=torch.bool))
    visual = method.encode_vision([normal(2, 9, 7, seed=4), seen])
    for row in range(2):
        both = np.concatenate([array(text[row]), array(prior[row])], -1)
        same(words[row], w.linear(w.linear(both, "pgt"), "text"))
        same(visual[row], w.linear(array(seen[row]), "vision"))


def test_head_only_projects_what_each_encoder_gives() -> None:
    method = lively(HeadOnly([6, 7], [5, 8, 4], 3))
    w = Weights(method)
    seen = [normal(2, 9, c, seed=c) for c in (9, 6, 7)]
    read = [normal(2, 5, c, seed=c) for c in (5, 8, 4)]
    visual = method.encode_vision(seen)
    words = method.encode_text(read, torch.ones(2, 5, dtype=torch.bool))
    for row in range(2):
        both = np.concatenate([array(seen[1][row]), array(seen[2][row])], -1)
        same(visual[row], w.linear(both, "vision"))
        same(words[row], w.linear(array(read[2][row]), "text"))


@torch.no_grad()
def test_loca_sits_beside_the_feed_forward_of_three_blocks() -> None:
    vision = frozen(ViT(frozen_dinov2()))
    localise_vision(vision)
    lively(vision, spread=0.1)
    inputs = {}
    for number, layer in enumerate(vision.net.encoder.layer):
        layer.norm2.register_forward_hook(lambda m, a, out, n=number: inputs.update({n: out}))
    hidden, _ = vision.run(normal(1, 3, PIXELS, PIXELS))
    for number, layer in enumerate(vision.net.encoder.layer):
        n2, mlp = inputs[number], layer.mlp
        feed_forward = mlp.fc2(mlp.activation(mlp.fc1(n2)))
        if number in ADAPTED:
            w = Weights(vision.loca[ADAPTED.index(number)])
            added = torch.from_numpy(loca(w, array(n2[0]), 1))
            feed_forward = feed_forward + 0.2 * added
        attended = layer.attention(layer.norm1(hidden[number]))
        middle = hidden[number] + layer.layer_scale1(attended)
        same(hidden[number + 1][0], array(middle + layer.layer_scale2(feed_forward))[0], 1e-7)


@torch.no_grad()
def test_dypa_sits_beside_the_feed_forward_after_the_last_norm_of_three_layers() -> None:
    text, (ids, mask) = frozen_bert(), two_phrases()
    guided = guide_text(text, SelfPrior(16))
    plain = lively(text).taps(ids, mask)[-1]
    lively(guided.dypa)
    attended, outputs = [], []
    for layer in text.net.encoder.layer:
        layer.attention.register_forward_hook(lambda m, a, out: attended.append(out[0]))
        layer.register_forward_hook(lambda m, a, out: outputs.append(out[0]))
    told, prior = guided.taps(ids, mask)
    same(prior, array(plain))  # the prior's own pass is told nothing
    for number, layer in enumerate(text.net.encoder.layer):
        own = attended[LAYERS + number]
        want = array(layer.output.LayerNorm(layer.output.dense(layer.intermediate(own)) + own))
        if number in ADAPTED:
            w = Weights(guided.dypa[ADAPTED.index(number)])
            want = want + np.stack(
                [dypa(w, array(a), array(p)) for a, p in zip(own, prior, strict=True)]
            )
        same(outputs[LAYERS + number], want, 1e-7)
    same(told, array(outputs[-1]))
