"""What each method costs at the papers' sizes, with random weights: cost does not depend on them.

    full, m2ist, unipt, head_only, lora, adapter    DETR's encoder on ResNet-50 at 640 px, BERT-base
    m2ist recompute                                 the fusion is computed again for backward
    m2ist kept, m2ist recompute kept, ...           encoder outputs are computed before
    full fused, m2ist fused, unipt fused            no dropout inside the fusion's attention. Fused
                                                    attention on a GPU draws it and keeps a seed; on
                                                    a CPU it cannot, and all weights are kept
    mapper and its full                             DINOv2-B/14 at 518 px, BERT-base, CLIP's text

Fusion and head are TransVG's. Each case takes a few training steps on random images
and phrases in a process of its own. Written to `results/paper_sizes.json`: trained parameters,
bytes kept for the backward pass, time of a step, peak memory, and their ratios to full fine-tuning.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.record import ROOT
from train.commands import in_own_process
from train.losses.boxes import grounding_loss
from train.papers.compare import COSTS, ratios_to
from train.papers.cost import measure, peak_bytes
from train.papers.sizes import CASES, DETR_CASES, DINOV2_CASES, paper_config, paper_model
from train.provenance import describe, write_json

RESULTS = ROOT / "benchmarks" / "results" / "paper_sizes.json"
KEPT = " kept"
"""Ends the name of a case whose encoder outputs are computed before the steps that are measured."""
FUSED = " fused"
"""Ends the name of a case whose attention has no dropout inside."""
TOKENS = 20
"""Word pieces of a phrase, as the papers pad to."""


def cost_of(case: str, photos: int) -> dict[str, Any]:
    """The costs of one case on batches of `photos` images with a phrase each."""
    kept, case = case.endswith(KEPT), case.removesuffix(KEPT)
    fused, case = case.endswith(FUSED), case.removesuffix(FUSED)
    config, model = paper_config(case), paper_model(case)
    for module in model.fusion.modules():
        if fused and isinstance(module, torch.nn.MultiheadAttention):
            module.dropout = 0.0
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).train()
    optimizer = torch.optim.AdamW(list(model.adapter_params().values()), lr=1e-4)
    images: Any = torch.randn(photos, 3, config.image_size, config.image_size, device=device)
    ids = torch.randint(1000, 20000, (photos, TOKENS), device=device)
    mask = torch.ones_like(ids)
    text: Any = ids
    if kept:
        with torch.no_grad():
            images, text = model.vision.features(images), model.text.taps(ids, mask)
    goal = torch.rand(photos, 4, device=device) * 0.5 + 0.2
    present = torch.ones(photos, dtype=torch.bool, device=device)
    photo_of = torch.arange(photos, device=device)

    def forward() -> torch.Tensor:
        answers = model(images, photo_of, text, mask)
        centers = model.fusion.centers
        return grounding_loss(answers.boxes, answers.logits, goal, present, centers)["total"]

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        forward().backward()
        optimizer.step()

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()  # without the making of what is kept
    cost = dataclasses.asdict(measure(model, forward, step, steps=3))
    return cost | {"peak_bytes": peak_bytes()}


def main(argv: list[str] | None = None) -> int:
    """Exit code 0."""
    kept = [case + KEPT for case in ("m2ist", "m2ist recompute")]
    fused = [case + FUSED for case in ("full", "m2ist", "unipt")]
    known = [*DETR_CASES, *kept, *fused, *DINOV2_CASES]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=known, default=known)
    parser.add_argument("--photos", type=int, default=2, help="images in a batch")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    rows: dict[str, dict[str, Any]] = {}
    for case in tqdm(args.cases, desc="paper sizes", unit="case"):
        row = rows[case] = in_own_process(cost_of, case, args.photos)
        full = f"full{FUSED}" if case.endswith(FUSED) else CASES[case.removesuffix(KEPT)]
        if full in rows:
            row["to_full"] = ratios_to(row, rows[full])
        line = f"{case:20s} trained {row['trained']:>11,}  kept {row['saved_bytes'] / 1e6:8.1f} MB"
        line += f"  step {row['step_ms']:7.0f} ms  peak {row['peak_bytes'] / 1e9:5.2f} GB"
        if "to_full" in row:
            line += "  of full: " + ", ".join(f"{row['to_full'][c]:.1%}" for c in COSTS)
        tqdm.write(line)
        found = {"machine": describe(), "photos": args.photos, "cases": rows}
        write_json(args.out, found)
    print(f"written to {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
