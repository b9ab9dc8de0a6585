"""Next to what one would pick instead, on this CPU: `python -m benchmarks.peers`.

Grounding DINO tiny, OWL-ViT base/32 and OmDet-Turbo (Swin-T) run through transformers in torch,
FP32, built from their configurations with random weights: how fast they are does not depend on
the weights, and nothing is downloaded. How right they are is not compared here; they are larger
and were trained on far more.

A frame is 640 x 480. The peers get it resized and the phrases tokenised beforehand, at the sizes
of their own processors, and are timed for the forward pass alone. The grounder is timed for all of
`Grounder.ground`: resizing, graphs, boxes. "seen" phrases are asked again and again, as of a
camera; OmDet-Turbo keeps their encodings like the grounder, the others encode them each time.
OmDet-Turbo's backbone is transformers' own Swin, of the same size as the timm one it ships with.

Each model has a process of its own, so that its peak memory is no other's. The result goes to
benchmarks/results/peers.json.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks.record import ROOT, save
from sdk import Grounder
from sdk.backends.ort import physical_cores
from sdk.diagnostics.benchmark import memory_mib, summary
from train.commands import in_own_process
from train.provenance import describe

if TYPE_CHECKING:
    from torch import Tensor, nn

WIDTH, HEIGHT = 640, 480
PHRASES = (1, 10)
OURS = "grounder, seen phrases"


class Model(NamedTuple):
    """Something to time: `ask(n)` grounds n phrases in one frame."""

    size_wh: tuple[int, int]
    """What the network sees."""
    weights_mb: float
    ask: Callable[[int], object]


def grounder(*, seen: bool) -> Model:
    """The default bundle; with phrases that it has encoded before, or never the same twice."""
    ours = Grounder.load(device="cpu")
    frame = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    numbers = count()

    def ask(phrases: int) -> object:
        asked = range(phrases) if seen else [next(numbers) for _ in range(phrases)]
        return ours.ground(frame, [f"the dog number {number}" for number in asked])

    return Model(ours.info.input_size_wh, ours.info.bytes / 1e6, ask)


def grounding_dino() -> Model:
    """As `IDEA-Research/grounding-dino-tiny`: shorter side 800, all phrases in one text."""
    import torch
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

    def forward(model: nn.Module, pixels: Tensor, phrases: int) -> object:
        start, word, period, end = 101, 2000, 1012, 102  # BERT's; all but the word steer the model
        text = [start, *(5 * [word] + [period]) * phrases, end]
        return model(pixels, input_ids=torch.tensor([text]))

    return _peer(GroundingDinoForObjectDetection(GroundingDinoConfig()), (1066, 800), forward)


def owl_vit() -> Model:
    """As `google/owlvit-base-patch32`: 768 x 768, one query of up to 16 tokens a phrase."""
    from transformers import OwlViTConfig, OwlViTForObjectDetection

    def forward(model: nn.Module, pixels: Tensor, phrases: int) -> object:
        queries, mask = _clip_tokens(phrases, length=16)
        return model(queries, pixels, mask)

    return _peer(OwlViTForObjectDetection(OwlViTConfig()), (768, 768), forward)


def omdet_turbo() -> Model:
    """As `omlab/omdet-turbo-swin-tiny-hf`: 640 x 640, phrases as classes, and a task."""
    import torch
    from transformers import OmDetTurboConfig, OmDetTurboForObjectDetection, SwinConfig

    swin = SwinConfig(image_size=640, out_features=["stage2", "stage3", "stage4"])
    config = OmDetTurboConfig(
        backbone=None,
        backbone_config=swin,
        backbone_kwargs=None,
        use_timm_backbone=False,
        apply_layernorm_after_vision_backbone=False,  # this Swin applies it itself
    )

    def forward(model: nn.Module, pixels: Tensor, phrases: int) -> object:
        classes, tasks = _clip_tokens(phrases, length=77), _clip_tokens(1, length=77)
        return model(pixels, *classes, *tasks, torch.tensor([phrases]))

    return _peer(OmDetTurboForObjectDetection(config), (640, 640), forward)


def _peer(
    model: nn.Module, size_wh: tuple[int, int], forward: Callable[[nn.Module, Tensor, int], object]
) -> Model:
    import torch

    torch.set_num_threads(physical_cores())
    model.eval()
    pixels = torch.rand(1, 3, size_wh[1], size_wh[0])
    weights_mb = sum(value.nbytes for value in model.parameters()) / 1e6
    return Model(size_wh, weights_mb, torch.inference_mode()(partial(forward, model, pixels)))


def _clip_tokens(phrases: int, length: int) -> tuple[Tensor, Tensor]:
    """Ids and mask, (phrases, length): start, a number of its own, three words, end, padding."""
    import torch

    start, end = 49406, 49407
    ids = torch.zeros(phrases, length, dtype=torch.int64)
    ids[:, :6] = torch.tensor([start, 0, 600, 601, 602, end])
    ids[:, 1] = 1000 + torch.arange(phrases)
    mask = torch.zeros_like(ids)
    mask[:, :6] = 1
    return ids, mask


MODELS: dict[str, Callable[[], Model]] = {
    OURS: partial(grounder, seen=True),
    "grounder, new phrases": partial(grounder, seen=False),
    "Grounding DINO tiny": grounding_dino,
    "OWL-ViT base/32": owl_vit,
    "OmDet-Turbo Swin-T": omdet_turbo,
}


def measure(name: str, repeats: int) -> dict[str, Any]:
    """Milliseconds of each number of phrases, taking turns, and the peak memory so far."""
    model = MODELS[name]()
    samples: dict[int, list[float]] = {phrases: [] for phrases in PHRASES}
    for repeat in range(repeats + 1):  # the first is the warm-up
        for phrases, taken in samples.items():
            start = time.perf_counter()
            model.ask(phrases)
            if repeat:
                taken.append(1000 * (time.perf_counter() - start))
    return {
        "input_wh": model.size_wh,
        "weights_mb": model.weights_mb,
        "milliseconds": {str(phrases): summary(taken) for phrases, taken in samples.items()},
        "peak_memory_mib": memory_mib("VmHWM"),
    }


def with_ratios(models: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Adds to each model how many times the grounder's median time and peak memory it takes."""
    ours = models[OURS]

    def ratios(model: dict[str, Any]) -> dict[str, float | None]:
        times = {
            key: value["p50"] / ours["milliseconds"][key]["p50"]
            for key, value in model["milliseconds"].items()
        }
        memory, least = model["peak_memory_mib"], ours["peak_memory_mib"]
        return {**times, "memory": memory / least if least else None}

    return {name: {**model, "times_ours": ratios(model)} for name, model in models.items()}


def report(models: dict[str, dict[str, Any]]) -> list[str]:
    """One line per model: median times, peak memory, each with its multiple of ours."""
    heads = [f"{some} phrase{'s' * (some > 1)}, ms" for some in PHRASES] + ["peak MiB"]
    lines = [f"{'':24}{'input':>10}{'weights':>10}" + "".join(f"{head:>22}" for head in heads)]
    for name, model in models.items():
        width, height = model["input_wh"]
        line = f"{name:24}{f'{width}x{height}':>10}{model['weights_mb']:>7.0f} MB"
        figures = [model["milliseconds"][str(some)]["p50"] for some in PHRASES]
        figures.append(model["peak_memory_mib"] or float("nan"))
        for figure, ratio in zip(figures, model["times_ours"].values(), strict=True):
            line += f"{figure:>14.1f}" + (f" ({ratio:.1f}x)" if ratio else "").rjust(8)
        lines.append(line)
    return lines


def main() -> int:
    """Print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="of each peer (default: 5)")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/peers.json")
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error(f"--repeats: expected at least 1, got {args.repeats}")
    machine, load = describe(), os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    models = {}
    for name in (progress := tqdm(MODELS, unit="model")):
        progress.set_description(name)
        repeats = 20 * args.repeats if name.startswith("grounder") else args.repeats
        models[name] = in_own_process(measure, name, repeats)
    models = with_ratios(models)
    print("\n".join(report(models)))
    record = {
        "machine": machine,
        "versions": _versions(),
        "settings": {"threads": physical_cores(), "frame_wh": [WIDTH, HEIGHT]},
        "load_average": load,
        "models": models,
    }
    save(args.json, record)
    return 0


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "transformers")}


if __name__ == "__main__":
    sys.exit(main())
