"""The papers' training settings by name: `python -m train --recipe m2ist`; flags beside it win.

Read in the papers and in the commands of their authors' code; docs/methods.md has them beside ours,
and says what differs all the same. Encoders are named as on the model hub.
"""

from __future__ import annotations

from typing import Any

from train.fusion import TRANSVG

DETR, BERT = "facebook/detr-resnet-50", "google-bert/bert-base-uncased"
DINOV2, CLIP = "facebook/dinov2-base", "openai/clip-vit-base-patch16"

COMMON: dict[str, Any] = {
    "fusion": TRANSVG,
    "loss": "box",
    "dim": 256,
    "layers": 6,
    "vision": DETR,
    "text": BERT,
    "image_size": 640,
    "second_neck": False,
    "pairs": True,
    "wording": False,
    "augment": True,
    "negatives": 0.0,
    "detection_photos": 0,
    "batch_photos": 64,
    "epochs": 90,
    "lr_drop": 60,
    "lr": 1e-4,
    "encoder_lr": 1e-5,
    "weight_decay": 1e-4,
    "decay_all": True,
    "warmup_steps": 0,
    "clip": 0.0,
    "ema": 0.0,
}
"""TransVG's (arXiv:2104.08541): M2IST and MaPPER keep most of it."""

RECIPES: dict[str, dict[str, Any]] = {
    "transvg": COMMON | {"method": "full"},
    "m2ist": COMMON | {"method": "m2ist", "bottleneck": 128, "side_lr": 1e-5},
    "mapper": COMMON
    | {
        "method": "mapper",
        "vision": DINOV2,
        "prior": CLIP,
        "image_size": 518,
        "batch_photos": 256,
        "epochs": 130,
    },
    "unipt": COMMON
    | {
        "method": "unipt",
        "bottleneck": 128,
        "batch_photos": 8,
        "epochs": 10,
        "lr_drop": 5,
        "lr": 5e-5,
        "side_lr": 5e-4,
        "clip": 0.1,
        "ema": 0.9998,
    },
}
