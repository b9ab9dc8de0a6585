"""The trainer: one loop for every method.

Frozen parts stay in eval mode and are never run twice: phrase taps are kept, and so are the vision
features unless the vision encoder trains.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from sdk.boxes import cxcywh_to_xyxy
from sdk.decode import best_boxes
from sdk.errors import PhraseError
from sdk.tokenizer import WordPieceTokenizer
from train.build import MAX_TOKENS, build_model, preprocess_for
from train.checkpoint import (
    ENCODER_PREFIXES,
    CheckpointError,
    check_frozen,
    frozen_sha256,
    load_checkpoint,
    load_parameters,
    save_checkpoint,
)
from train.config import TrainConfig
from train.data.dataset import Batch, BatchMaker, PhotoStore
from train.data.samples import DataError, Photo
from train.evaluator import accuracy, evaluate
from train.features import KeptText, KeptVision, LiveText
from train.losses import grounding_loss

CHECKPOINT_EVERY = 200
"""Steps between two checkpoints."""


def use_fast_math(enabled: bool) -> None:
    """Let float32 products run in bfloat16 inside, for the whole process."""
    torch.set_float32_matmul_precision("medium" if enabled else "highest")
    torch.backends.mkldnn.conv.fp32_precision = "bf16" if enabled else "ieee"


def truncate_csv(path: Path, step: int) -> None:
    """Drop the rows after `step`: a resumed run writes them again."""
    if path.is_file():
        header, *rows = path.read_text().splitlines()
        kept = [row for row in rows if int(float(row.split(",", 1)[0])) <= step]
        path.write_text("\n".join([header, *kept]) + "\n")


def check_phrases(photos: Sequence[Photo], tokenizer: WordPieceTokenizer) -> None:
    """Raises DataError naming the photo of a phrase that the text encoder cannot take whole."""
    for photo in photos:
        for expression in photo.expressions:
            try:
                tokenizer.encode(expression.text)
            except PhraseError as error:
                raise DataError(f"{photo.path}: {error}") from error


class Trainer:
    """Trains one configuration into the folder `out`; continues where `out` left off."""

    def __init__(
        self,
        config: TrainConfig,
        train_photos: Sequence[Photo],
        val_photos: Sequence[Photo],
        vocab: Path,
        out: Path,
    ) -> None:
        self.config, self.out, self.val_photos = config, out, val_photos
        self.preprocess = preprocess_for(config)
        self.model = build_model(config)
        tokenizer = WordPieceTokenizer.from_file(vocab, MAX_TOKENS)
        check_phrases([*train_photos, *val_photos], tokenizer)
        self.text_taps = (LiveText if config.trains_text else KeptText)(self.model.text, tokenizer)
        self.kept_vision: KeptVision | None = None
        use_fast_math(False)  # kept vision features are exact
        if not config.trains_vision:
            photos = [*train_photos, *val_photos]
            folder = out.parent / "kept"
            self.kept_vision = KeptVision(self.model.vision, self.preprocess, photos, folder)
        use_fast_math(config.fast_math)
        self.batches = BatchMaker(
            self.preprocess,
            train_photos,
            phrases_per_photo=config.phrases_per_photo,
            negatives=config.negatives,
            seed=config.seed,
            with_images=config.trains_vision,
        )
        self.per_epoch = self.batches.batches_per_epoch(config.batch_photos)
        if not self.per_epoch:
            raise ValueError(
                f"--batch-photos: expected at most the {len(train_photos)} training photos, got "
                f"{config.batch_photos}"
            )
        self.total_steps = self.per_epoch * config.epochs
        self._store = PhotoStore()
        if config.side_weights:
            groups, _, _ = load_checkpoint(Path(config.side_weights))
            load_parameters(self.model, groups["average"], only_matching=True)
        self.params = self.model.adapter_params()
        self._frozen_sha256 = frozen_sha256(self.model)
        self.average = {name: p.detach().clone() for name, p in self.params.items()}
        self.optimizer = self._optimizer()
        self.step = 0
        self._resume()

    def _optimizer(self) -> torch.optim.AdamW:
        encoders = [p for n, p in self.params.items() if n.startswith(ENCODER_PREFIXES)]
        rest = [p for n, p in self.params.items() if not n.startswith(ENCODER_PREFIXES)]
        groups = [
            {"params": rest, "peak": self.config.lr},
            {"params": encoders, "peak": self.config.encoder_lr},
        ]
        groups = [g for g in groups if g["params"]]
        return torch.optim.AdamW(groups, lr=0.0, weight_decay=self.config.weight_decay)

    @property
    def checkpoint(self) -> Path:
        """Where the run keeps its state."""
        return self.out / "checkpoint.safetensors"

    def save(self) -> None:
        """Write parameters, average and optimiser state."""
        moments: dict[str, Tensor] = {}
        for name, p in self.params.items():
            for key, value in self.optimizer.state.get(p, {}).items():
                moments[f"{key}.{name}"] = value
        groups = {"model": self.params, "average": self.average, "adam": moments}
        state = {"step": self.step, "frozen_sha256": self._frozen_sha256}
        save_checkpoint(self.checkpoint, groups, self.config, state)

    def _resume(self) -> None:
        if not self.checkpoint.is_file():
            return
        groups, config, state = load_checkpoint(self.checkpoint)
        if config != self.config:
            raise CheckpointError(
                f"{self.checkpoint} was made with other settings; give another --out, or delete it"
            )
        check_frozen(self._frozen_sha256, state, self.checkpoint)
        load_parameters(self.model, groups["model"])
        self.average = {name: groups["average"][name] for name in self.params}
        for key, value in groups.get("adam", {}).items():
            kind, name = key.split(".", 1)
            self.optimizer.state[self.params[name]][kind] = value
        self.step = int(state["step"])
        for name in ("loss.csv", "accuracy.csv"):
            truncate_csv(self.out / name, self.step)

    def fit(self) -> float:
        """Train to the end; returns Acc@0.5 on the validation photos' single-box phrases."""
        while self.step < self.total_steps:
            epoch, done = divmod(self.step, self.per_epoch)
            bar = tqdm(total=self.per_epoch, initial=done, desc=f"epoch {epoch + 1}", unit="batch")
            for batch in self.batches.epoch(epoch, self.config.batch_photos, skip=done):
                terms = self.train_step(batch)
                bar.update()
                bar.set_postfix({k: f"{v:.3f}" for k, v in terms.items()}, refresh=False)
                if terms and self.step % 20 == 0:
                    self._log("loss.csv", {"step": self.step, **terms})
                if self.step % CHECKPOINT_EVERY == 0:
                    self.save()
            bar.close()
            reached = self.validate()
            self._log("accuracy.csv", {"step": self.step, "accuracy": reached})
            tqdm.write(f"epoch {epoch + 1}: Acc@0.5 {reached:.1f}")
            self.save()
        return self.validate()

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One optimiser step; returns the loss terms, none for a batch without a phrase."""
        self.step += 1
        if not batch.texts:
            return {}
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * self._schedule()
        terms = self.loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        terms["total"].backward()
        torch.nn.utils.clip_grad_norm_(list(self.params.values()), self.config.clip)
        self.optimizer.step()
        self._update_average()
        return {name: float(value.detach()) for name, value in terms.items()}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The forward pass: loss terms of a batch that has phrases."""
        visual = self._visual(batch)[batch.photo_of]
        text_taps, mask = self.text_taps(batch.texts)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.fast_math):
            text = self.model.method.encode_text(text_taps, mask.bool())
            boxes, logits = self.model.fuse(visual, text, mask)
        boxes, logits = boxes.float(), logits.float()
        return grounding_loss(boxes, logits, batch.boxes, batch.present, self.model.fusion.centers)

    def _visual(self, batch: Batch) -> Tensor:
        if self.kept_vision is not None:
            return self.model.join_vision(self.kept_vision(batch.photos))
        assert batch.images is not None
        return self.model.encode_vision(batch.images)

    def _schedule(self) -> float:
        """Linear warm-up, at most a tenth of the run, then a cosine down to a hundredth."""
        warm_up = max(1, min(self.config.warmup_steps, self.total_steps // 10))
        warm = min(1.0, self.step / warm_up)
        progress = min(1.0, self.step / max(1, self.total_steps))
        return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.values()), list(self.params.values()), 1 - decay)

    @torch.no_grad()
    def validate(self) -> float:
        """Acc@0.5 of the averaged weights on single-box validation phrases."""
        current = {name: p.detach().clone() for name, p in self.params.items()}
        load_parameters(self.model, self.average)
        try:
            asked = [(p, [e for e in p.expressions if e.single]) for p in self.val_photos]
            return accuracy(evaluate(self.predict, asked, progress=False))
        finally:
            load_parameters(self.model, current)

    @torch.no_grad()
    def predict(
        self, photo: Photo, texts: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """An evaluator's `Predict` with the model as it is."""
        if self.kept_vision is not None:
            visual = self.model.join_vision(self.kept_vision([photo]))
        else:
            tensor = self.preprocess.tensor(self._store[photo])
            visual = self.model.encode_vision(torch.from_numpy(tensor))
        taps, mask = self.text_taps(texts)
        text = self.model.method.encode_text(taps, mask.bool())
        boxes, logits = self.model.fuse(visual, text, mask)
        chosen, best = best_boxes(boxes.numpy(), logits.numpy())
        return cxcywh_to_xyxy(chosen).clip(0, 1), 1 / (1 + np.exp(-best))

    def _log(self, name: str, row: dict[str, float]) -> None:
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.is_file()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row.keys())
            if new:
                writer.writeheader()
            writer.writerow(row)
