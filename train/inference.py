"""A checkpoint as a `Predict`: what a training run reached, before there is a bundle."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from sdk.bundle.tokenizer import WordPieceTokenizer
from sdk.geometry.boxes import cxcywh_to_xyxy
from sdk.geometry.decode import best_boxes
from sdk.inputs.frames import as_bgr
from train.build import MAX_TOKENS, build_model, preprocess_for, use_vocab
from train.checkpoint import check_frozen, frozen_sha256, load_checkpoint, load_parameters
from train.config import TrainConfig
from train.data.samples import Photo, as_box
from train.evaluator import Answer, Predict
from train.features import TextTokens
from train.fusion.base import Answers
from train.methods.lora import fold_lora
from train.model import GroundingModel


def load_model(
    checkpoint: Path, locations: Mapping[str, str] | None = None
) -> tuple[GroundingModel, TrainConfig]:
    """The model with the averaged weights of a training run, in eval mode.

    An encoder that trained is in the checkpoint; a frozen one is loaded from its own file, where
    the checkpoint says or where `locations` does, see `train.locations`.

    Raises:
        CheckpointError: no checkpoint, or one that does not fit its own settings.
        ValueError, OSError: an encoder's weights cannot be had.
    """
    groups, config, state = load_checkpoint(checkpoint)
    moved: dict[str, Any] = dict(locations or {})
    config = dataclasses.replace(config, **moved)
    weights = "random" if config.trains_vision else config.vision_weights
    model = build_model(dataclasses.replace(config, vision_weights=weights))
    check_frozen(frozen_sha256(model), state, checkpoint)
    load_parameters(model, groups["average"])
    fold_lora(model)
    for module in model.modules():
        if isinstance(module, PreTrainedModel) and module.config._attn_implementation == "sdpa":
            # Training keeps less with fused attention; graphs are exported in plain products.
            module.set_attn_implementation("eager")
    return model.eval(), config


def checkpoint_predict(
    checkpoint: Path, vocab: Path, locations: Mapping[str, str] | None = None
) -> Predict:
    """A `Predict` in FP32 on the CPU; scores are the sigmoid of the best logit, not calibrated.

    Raises:
        CheckpointError, ValueError, OSError: see `load_model`, or not the vocabulary it has.
    """
    model, config = load_model(checkpoint, locations)
    use_vocab(model, vocab)
    tokens = TextTokens(WordPieceTokenizer.from_file(vocab, MAX_TOKENS))
    preprocess = preprocess_for(config)

    @torch.no_grad()
    def predict(photo: Photo, texts: Sequence[str]) -> list[Answer]:
        image = torch.from_numpy(preprocess.tensor(as_bgr(photo.path)))
        ids, mask = tokens(texts)
        photo_of = torch.zeros(len(texts), dtype=torch.long)
        return best_answers(model(image, photo_of, ids, mask))

    return predict


def best_answers(answers: Answers) -> list[Answer]:
    """The best box of each phrase."""
    chosen, best = best_boxes(answers.boxes.cpu().numpy(), answers.logits.cpu().numpy())
    scores = (1 / (1 + np.exp(-best))).tolist()
    return list(map(Answer, map(as_box, cxcywh_to_xyxy(chosen).clip(0, 1)), scores))
