"""M2IST against its paper's equations in NumPy: both variants, both kinds of encoder."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tiny_encoders import tiny_net
from tests.train.equations import Array, Weights, array, lively, normal, relu, same
from train.encoders.cells import on_one_grid
from train.encoders.text import TransformersText
from train.encoders.transformer import DetrEncoder
from train.encoders.vision import frozen
from train.methods.m2ist import M2IST, LayerM2IST

VARIANTS = pytest.mark.parametrize("variant", ["released", "paper"])
BERT_EPS = 1e-12


def modality_expert(w: Weights, x: Array) -> Array:
    """0.1 U ReLU(W LN(x))."""
    return 0.1 * w.linear(relu(w.linear(w.norm(x, "norm"), "down")), "up")


def stream(w: Weights, taps: list[Array], *, chained: bool) -> Array:
    """P t_L + sum over l of S_l h_l + E_l(t_l), where h_l = ReLU(W_l t_l [+ h_(l-1)])."""
    out = w.linear(taps[-1], "project")
    below = 0.0
    for layer, tap in enumerate(taps):
        hidden = relu(w.linear(tap, f"down.{layer}") + below)
        out = out + w.linear(hidden, f"shared.{layer}")
        out = out + modality_expert(w.part(f"experts.{layer}"), tap)
        if chained:
            below = hidden
    return out


@VARIANTS
def test_the_form_for_encoders_of_any_widths(variant: str) -> None:
    side = lively(M2IST([6, 7, 9], [5, 5, 5, 5, 8], 4, 3, chained=variant == "paper"))
    assert isinstance(side, M2IST)
    vision = [normal(2, 11, c, seed=c) for c in (6, 7, 9)]
    text = [normal(2, 6, c, seed=20 + i) for i, c in enumerate((5, 5, 5, 5, 8))]
    mask = torch.ones(2, 6, dtype=torch.bool)
    chained = variant == "paper"
    for name, taps, got in (
        ("vision", vision, side.encode_vision(vision)),
        ("text", text[-3:], side.encode_text(text, mask)),  # the pairs count from the last layer
    ):
        w = Weights(side).part(name)
        for row in range(2):
            same(got[row], stream(w, [array(tap[row]) for tap in taps], chained=chained))


def encoders(width: int, layers: int) -> tuple[DetrEncoder, TransformersText]:
    """DETR's encoder, 16 wide and three layers deep, and a BERT."""
    text = tiny_net("bert", hidden_size=width, num_hidden_layers=layers)
    vision = frozen(DetrEncoder(tiny_net("detr"), sublayers=True))
    return vision, frozen(TransformersText(text, sublayers=True))


def sublayer_taps(layers: int, width: int) -> list[Tensor]:
    """Input, attention and feed-forward output of each layer, output."""
    return [normal(2, 5, width, seed=number) for number in range(2 * layers + 2)]


def beside(w: Weights, taps: list[Array], norms: list[Weights] | None, *, chained: bool) -> Array:
    """Encoder output + adapters + encoder input; with `norms`, BERT's own, the text's adapters."""
    first, last, pairs = taps[0], taps[-1], min(3, len(taps) // 2 - 1)
    total = np.zeros_like(last)
    for layer in range(pairs):
        below = total if chained else 0.0
        attention, ffn = taps[1 + 2 * layer] + below, taps[2 + 2 * layer] + below
        own = w.part(str(layer))
        hidden = relu(own.linear(attention, "down"))
        interaction = own.linear(hidden, "shared")
        modality = modality_expert(own.part("expert"), ffn)
        if norms is not None:
            if "fill" in own:
                interaction = np.concatenate([own.linear(hidden, "fill"), interaction], -1)
            norm = norms[layer]
            interaction = norm.norm(interaction, "attention.output.LayerNorm", BERT_EPS)
            modality = norm.norm(modality, "output.LayerNorm", BERT_EPS)
        total = total + interaction + modality
    return last + total + first


@VARIANTS
@pytest.mark.parametrize(("width", "layers"), [(24, 5), (16, 3), (24, 2)])
def test_the_published_form_beside_every_sublayer(variant: str, width: int, layers: int) -> None:
    vision, text = encoders(width, layers)
    chained = variant == "paper"
    side = LayerM2IST(vision, text, dim=8, bottleneck=4, chained=chained)
    lively(text)
    lively(side)
    w = Weights(side)
    norms = [Weights(layer) for layer in text.net.encoder.layer]
    seen, read = sublayer_taps(3, 16), sublayer_taps(layers, width)
    visual = side.encode_vision(seen)
    words = side.encode_text(read, torch.ones(2, 5, dtype=torch.bool))
    pairs = min(3, layers)
    for row in range(2):
        frames = [array(tap[row]) for tap in (*seen[: 2 * pairs + 1], seen[-1])]
        told = beside(w.part("vision"), frames, None, chained=chained)
        same(visual[row], w.linear(told, "project_vision"))
        phrases = [array(tap[row]) for tap in (*read[: 2 * pairs + 1], read[-1])]
        told = beside(w.part("text"), phrases, norms, chained=chained)
        same(words[row], w.linear(told, "project_text"))


@VARIANTS
def test_a_coarse_tap_counts_as_if_it_were_repeated(variant: str) -> None:
    side = lively(M2IST([6, 7, 9], [5, 5, 8], 4, 3, chained=variant == "paper"))
    assert isinstance(side, M2IST)
    taps = [normal(2, 4, 6, seed=1), normal(2, 16, 7, seed=2), normal(2, 4, 9, seed=3)]
    same(side.encode_vision(taps)[1], array(side.encode_vision(on_one_grid(taps))[1]))
