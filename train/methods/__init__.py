"""Tuning methods by name.

A method may put adapters into the encoders (`adapt`), and joins what their taps say into visual and
text tokens (`build_method`).
"""

from __future__ import annotations

from train.encoders.text import TransformersText
from train.encoders.transformer import DetrBackbone, TransformerVision
from train.encoders.vision import CompactVision
from train.methods.bottleneck import add_adapters
from train.methods.head_only import HeadOnly
from train.methods.lora import add_lora
from train.methods.m2ist import M2IST, LayerM2IST
from train.methods.mapper import GuidedText, MaPPER, guide_text, localise_vision
from train.methods.mapper.prior import Prior
from train.methods.unipt import JointInputs, UniPT

SIDE_METHODS = ("m2ist", "unipt", "head_only")
"""No gradient enters an encoder."""
INSIDE_METHODS = ("mapper", "lora", "adapter")
"""Adapters inside frozen encoders: gradients pass through them."""
DUAL_METHODS = (*SIDE_METHODS, *INSIDE_METHODS, "full")
"""On two encoders of any kind. `full` trains both under head_only's network: the reference."""
METHODS = (*DUAL_METHODS, "unipt_joint")
"""`unipt_joint` needs a network that sees image and phrase at once, see `unipt.joint`."""
VARIANTS = ("released", "paper")

Vision = CompactVision | TransformerVision | DetrBackbone
Text = TransformersText | GuidedText
Method = M2IST | LayerM2IST | UniPT | JointInputs | HeadOnly


def adapt(
    name: str, vision: Vision, text: TransformersText, bottleneck: int, prior: Prior | None
) -> Text:
    """Put the method's adapters into the frozen encoders; returns the text encoder to use.

    Raises:
        ValueError: the method cannot adapt this encoder.
    """
    if isinstance(vision, DetrBackbone):
        return text  # what trains is beside the joint network
    if name == "mapper":
        assert prior is not None
        localise_vision(vision)
        return guide_text(text, prior)
    if name == "lora":
        add_lora(vision)
        add_lora(text)
    if name == "adapter":
        add_adapters(vision, bottleneck)
        add_adapters(text, bottleneck)
    return text


def reads_sublayers(name: str, vision_is_compact: bool) -> bool:
    """Whether the method reads inside each layer, see `encoders.sublayers`."""
    return name == "m2ist" and not vision_is_compact


def build_method(
    name: str, vision: Vision, text: Text, dim: int, bottleneck: int, variant: str
) -> Method:
    """The named method's joining network. Raises ValueError: it cannot join these encoders."""
    taps, text_taps = vision.tap_channels, text.tap_channels
    chained = variant == "paper"
    if name == "m2ist":
        if isinstance(vision, TransformerVision):
            assert isinstance(text, TransformersText)
            return LayerM2IST(vision, text, dim, bottleneck, chained=chained)
        return M2IST(taps, text_taps, dim, bottleneck, chained=chained)
    if name == "unipt":
        return UniPT(taps, text_taps, dim, bottleneck)
    if name == "unipt_joint":
        return JointInputs(text_taps, taps[-1])
    if name == "mapper":
        return MaPPER(taps[-vision.outputs :], text_taps, dim)
    return HeadOnly(taps[-vision.outputs :], text_taps, dim)


__all__ = [
    "DUAL_METHODS",
    "INSIDE_METHODS",
    "METHODS",
    "SIDE_METHODS",
    "VARIANTS",
    "Method",
    "Text",
    "Vision",
    "adapt",
    "build_method",
    "reads_sublayers",
]
