"""A PicoDet-S detector in ONNX form (PaddleDetection, Apache-2.0): to start from, and to ask.

Its weights are only the starting point of this project's own training: the file is read from where
the user has it and is never part of this repository.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from sdk.bundle.preprocess import Preprocess
from sdk.geometry.boxes import cxcywh_to_xyxy
from train.encoders.esnet import NECK_NAMES, ESNet
from train.encoders.vision import IMAGENET_MEAN, IMAGENET_STD
from train.fusion.detections import DetectionHead, as_boxes

FloatArray = NDArray[np.float32]
EXAMPLE = torch.zeros(1, 3, 64, 64)


def conv_weights(path: Path) -> list[tuple[FloatArray, FloatArray]]:
    """(weight, bias) of every convolution of an ONNX file, in the order of execution.

    Raises:
        ValueError: not an ONNX file, or a convolution without weight or bias of its own.
    """
    try:
        graph = onnx.load(str(path)).graph
        values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        convs = [node for node in graph.node if node.op_type == "Conv"]
        return [(values[n.input[1]], values[n.input[2]].reshape(-1)) for n in convs]
    except (DecodeError, KeyError, IndexError) as error:
        raise ValueError(f"{path} is not a PicoDet-S in ONNX form: {error}") from error


def convs_in_call_order(model: nn.Module, example: object) -> list[nn.Conv2d]:
    """The convolutions of `model`, in the order in which a forward pass reaches them."""
    order: list[nn.Conv2d] = []
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    hooks = [c.register_forward_pre_hook(lambda module, _: order.append(module)) for c in convs]
    with torch.no_grad():
        model(example)
    for hook in hooks:
        hook.remove()
    return order


def from_picodet(path: Path) -> tuple[ESNet, DetectionHead]:
    """Encoder and head that compute, of RGB input, what the detector computes.

    Raises:
        ValueError: the file's convolutions do not line up with PicoDet-S for 80 classes.
    """
    encoder, head = ESNet(), DetectionHead()
    convs = convs_in_call_order(encoder, EXAMPLE)
    copy_weights(path, convs + convs_in_call_order(head, neck_maps(encoder, EXAMPLE)))
    return encoder, head


def encoder_from_picodet(path: Path) -> ESNet:
    """The encoder alone, whatever the detector's classes. Raises ValueError likewise."""
    encoder = ESNet()
    copy_weights(path, convs_in_call_order(encoder, EXAMPLE))
    return encoder


def copy_weights(path: Path, convs: Sequence[nn.Conv2d]) -> None:
    """Fill `convs` from the first convolutions of the file. Raises ValueError."""
    weights = conv_weights(path)
    if len(weights) < len(convs):
        raise ValueError(
            f"{path}: expected at least {len(convs)} convolutions, got {len(weights)}; "
            "is this a PicoDet-S (ESNet) detector?"
        )
    for index, (module, (weight, bias)) in enumerate(zip(convs, weights, strict=False)):
        if tuple(module.weight.shape) != weight.shape:
            raise ValueError(
                f"{path}: convolution {index} has shape {weight.shape}, expected "
                f"{tuple(module.weight.shape)}; is this a PicoDet-S (ESNet) detector?"
            )
        if index == 0:
            weight = weight[:, ::-1]  # the detector takes BGR, this project's tensors are RGB
        module.weight.data = torch.from_numpy(weight.copy())
        assert module.bias is not None
        module.bias.data = torch.from_numpy(bias.copy())


@torch.no_grad()
def neck_maps(encoder: ESNet, image: Tensor) -> list[Tensor]:
    """What the head reads of a (B, 3, H, W) image."""
    maps = encoder(image)
    return [maps[name] for name in NECK_NAMES]


class Detector:
    """A PicoDet-S to ask.

    Raises:
        ValueError: not a PicoDet-S for 80 classes in ONNX form. OSError: it cannot be read.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.name = path.stem
        encoder, head = from_picodet(path)
        self._encoder = encoder.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._head = head.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._preprocess = Preprocess(size, size, IMAGENET_MEAN, IMAGENET_STD)

    @torch.no_grad()
    def __call__(
        self, images: Sequence[NDArray[np.uint8]], *, mirror: bool = False
    ) -> tuple[FloatArray, FloatArray]:
        """B images (H, W, 3) BGR -> boxes (B, M, 4) xyxy fractions, probabilities (B, classes, M).

        With `mirror` the answers to an image and to its mirror image are averaged.
        """
        pixels = np.concatenate([self._preprocess.tensor(image) for image in images])
        if mirror:
            pixels = np.concatenate([pixels, pixels[..., ::-1]])
        tensor = torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last)
        maps = neck_maps(self._encoder, tensor)
        finest = maps[0].shape[-1]
        boxes, probabilities = [], []
        for level, (logits, sides) in enumerate(self._head.predict_levels(maps)):
            likely = logits.sigmoid()
            if mirror:
                likely, sides = mean_of_mirrored(likely, sides)
            boxes.append(as_boxes(sides, 2**level / finest).flatten(2))
            probabilities.append(likely.flatten(2))
        xyxy = cxcywh_to_xyxy(torch.cat(boxes, 2).transpose(1, 2).numpy()).clip(0, 1)
        return xyxy, torch.cat(probabilities, 2).numpy()


def mean_of_mirrored(likely: Tensor, sides: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (2B, C, h, w) of B images and then of their mirror images -> (B, C, h, w) of both.

    `sides` are left, top, right and bottom.
    """
    plain, mirror = likely.chunk(2)
    own, swapped = sides.chunk(2)
    return (plain + mirror.flip(3)) / 2, (own + swapped.flip(3)[:, [2, 1, 0, 3]]) / 2
