"""All settings of a training run, checked on construction."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from train.fast_math import FAST_MATH
from train.fusion import CANDIDATES, FUSIONS, TRANSVG
from train.losses import LOSSES
from train.methods import INSIDE_METHODS, METHODS, VARIANTS


def runtime(default: Any) -> Any:
    """A field that says how a run is computed and not what: a checkpoint does not hold it."""
    return dataclasses.field(default=default, compare=False)


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run; each is a flag of `python -m train` with dashes for underscores."""

    method: str = "m2ist"
    """m2ist, mapper, unipt; lora, adapter, head_only; full (both encoders train); unipt_joint."""
    variant: str = "released"
    """Of m2ist: "released" sums its adapters, "paper" chains them."""
    prior: str = "self"
    """Of mapper: "self" (the text encoder's own output), or a CLIP text tower by folder or name."""
    fusion: str = "candidates"
    """candidates (the best cells, and a detector's boxes, are compared) or transvg."""
    loss: str = "all"
    """all terms that the fusion has, or box: L1 and GIoU alone, of transvg, as published."""
    vision: str = "compact"
    """Vision encoder: "compact", or DINOv2, CLIP, SigLIP or DETR by folder or hub name."""
    unfreeze_vision: bool = False
    """Train the vision encoder along with the side network, holding what a detector among its
    weights says."""
    vision_weights: str = "default"
    """Weights of the compact encoder: "default", "detector" (PicoDet-S for COCO, which it began
    as), a .safetensors, a PicoDet-S .onnx, or "random"."""
    second_neck: bool = True
    """Train a copy of the compact encoder's neck beside it, on the same frozen stages; for the
    candidates fusion."""
    side_weights: str = ""
    """Checkpoint to start side network and fusion (if it is the same) from; empty = random."""
    text: str = "minilm"
    """Text encoder: "minilm", a folder, or a name on the model hub."""
    image_size: int = 320
    """Side of the square network input in pixels, a multiple of the encoder's stride."""
    dim: int = 128
    """Width of the side streams and of the fusion."""
    bottleneck: int = 96
    """Width inside each adapter, or of UniPT's parallel networks."""
    layers: int = 6
    """Layers of TransVG's fusion."""
    epochs: int = 6
    """Passes over the photos."""
    steps: int = 0
    """Optimiser steps in all, in place of whole passes; 0 = as many as `epochs` has."""
    batch_photos: int = 16
    """Photos in a batch of each process."""
    accumulate: int = 1
    """Batches whose gradients are added up for one optimiser step."""
    augment: bool = False
    """Mirror, crop, join and degrade photos; a frozen encoder's features cannot be kept then."""
    wording: bool = True
    """Now and then paraphrase a phrase, or mistype it."""
    pairs: bool = False
    """Batches of photos with one phrase each, every phrase of the data once in a pass; nothing is
    drawn, made or borrowed."""
    phrases_per_photo: int = 4
    """Phrases drawn for each photo in each pass."""
    negatives: float = 0.8
    """Phrases made or borrowed that name nothing in the photo, on average, at most 5. Null boxes of
    the data are always drawn, and nothing beside them."""
    lr: float = 7e-4
    """Peak learning rate of everything outside the encoders."""
    side_lr: float = 0.0
    """The same of m2ist's and unipt's networks beside the encoders alone; 0 = that of --lr."""
    encoder_lr: float = 3e-4
    """Peak learning rate inside the encoders: their own weights, a second neck, or adapters."""
    weight_decay: float = 0.02
    """AdamW's decoupled weight decay."""
    decay_all: bool = False
    """Let norms and biases decay too, as the papers do."""
    warmup_steps: int = 200
    """Steps of linear warm-up before the cosine."""
    lr_drop: int = 0
    """Passes after each of which the rates fall to a tenth, in place of the cosine; 0 = cosine."""
    clip: float = 1.0
    """Largest gradient norm; 0 = any."""
    ema: float = 0.998
    """Decay of the averaged weights that are evaluated and exported."""
    detection_photos: int = 3500
    """Labelled photos in each run, for contrastive expressions; 0 = none."""
    pseudo_labels: str = runtime("")
    """File of `python -m train.data.pseudo_labels`, for labels of photos without; empty = none."""
    limit: int = 0
    """Use only this many caption photos (a quick try); 0 = all."""
    seed: int = 0
    """Seed of initialisation, order, phrases and augmentation."""
    track: str = runtime("")
    """Curves also to this tracker of accelerate's, as tensorboard or wandb, where it is installed;
    empty = to files of the run alone."""
    eval_every: int = runtime(0)
    """Steps between two validations within a pass; 0 = only at the end of each pass."""
    cache_features: bool = runtime(True)
    """Compute what frozen encoders give once; off where it takes too much disk or memory."""
    workers: int = runtime(-1)
    """Processes that read and augment photos ahead of the training; -1 = none on a CPU, whose cores
    train, and on a GPU one for each core, at most 8."""
    activation_checkpointing: bool = runtime(False)
    """Compute the fusion's layers again in the backward pass: far less memory, more time."""
    fast_math: str = runtime("auto")
    """Fusion and products in bfloat16: "on", "off", or "auto", where the processor has units for
    it."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"--method: expected one of {', '.join(METHODS)}, got {self.method!r}")
        for name, known in (
            ("variant", VARIANTS),
            ("fusion", FUSIONS),
            ("loss", LOSSES),
            ("fast_math", FAST_MATH),
        ):
            if getattr(self, name) not in known:
                got = getattr(self, name)
                flag = name.replace("_", "-")
                raise ValueError(f"--{flag}: expected one of {', '.join(known)}, got {got!r}")
        positive = ("image_size", "dim", "bottleneck", "layers", "epochs", "batch_photos")
        for name in (*positive, "phrases_per_photo", "accumulate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"--{name.replace('_', '-')}: expected a positive number")
        counts = ("steps", "warmup_steps", "detection_photos", "limit", "eval_every", "lr_drop")
        for name in (*counts, "side_lr", "clip", "ema"):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name.replace('_', '-')}: expected 0 or more")
        if self.dim % 8:
            raise ValueError(f"--dim: expected a multiple of 8, got {self.dim}")
        if self.unfreeze_vision and self.method in INSIDE_METHODS:
            raise ValueError(
                f"--unfreeze-vision: {self.method} adapts frozen encoders; use --method full to "
                "train them"
            )
        if self.method == "unipt_joint" and (
            self.fusion != CANDIDATES or self.activation_checkpointing
        ):
            flag = "--activation-checkpointing" if self.activation_checkpointing else "--fusion"
            raise ValueError(f"{flag}: unipt_joint has a fusion of its own; leave it out")
        if self.loss != "all" and self.fusion != TRANSVG:
            raise ValueError(f"--loss: {self.loss} is for --fusion transvg, got {self.fusion}")
        if not 0 <= self.negatives <= 5:
            raise ValueError(f"--negatives: expected a number from 0 to 5, got {self.negatives}")

    @property
    def trains_vision(self) -> bool:
        """Whether the vision encoder's own weights train."""
        return self.unfreeze_vision or self.method == "full"

    @property
    def has_detector(self) -> bool:
        """Whether a detector's boxes come with the visual tokens."""
        return self.fusion == CANDIDATES and self.vision == "compact"

    @property
    def has_second_neck(self) -> bool:
        """Whether there is a second neck beside the encoder's own."""
        return self.second_neck and self.has_detector and self.method != "full"

    @property
    def means_several(self) -> bool:
        """Whether phrases that mean several things can be learned."""
        return self.fusion == CANDIDATES and self.method != "unipt_joint"

    @property
    def trains_text(self) -> bool:
        """Whether the text encoder's own weights train."""
        return self.method == "full"

    @property
    def caches_vision(self) -> bool:
        """Whether a photo's features never change, and are computed once."""
        inside = self.trains_vision or self.method in INSIDE_METHODS
        return self.cache_features and not (inside or self.augment)

    @property
    def caches_text(self) -> bool:
        """Whether a phrase's taps never change, and are computed once."""
        return self.cache_features and not (self.trains_text or self.method in INSIDE_METHODS)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, without `runtime` fields."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.compare}
