"""A grounding model: two encoders, the method that joins them, the fusion."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class GroundingModel(nn.Module):
    """`encode_vision(image)`, `encode_text(tokens)`, `fuse(visual, text)`: the three graphs.

    Nothing that `encode_vision` computes depends on the phrase; what a fusion can do without one
    (`prepare`) is part of it.

    Args:
        visual_tokens: N, what the vision encoder gives for the image size of the run.
        dim: D, the width of the fusion.
    """

    def __init__(
        self,
        vision: nn.Module,
        text: nn.Module,
        method: nn.Module,
        fusion: nn.Module,
        visual_tokens: int,
        dim: int,
    ) -> None:
        super().__init__()
        self.vision, self.text, self.method = vision, text, method
        self.visual_shape = (visual_tokens, dim)
        self.fusion = fusion
        self.learning(False)

    def learning(self, mode: bool) -> None:
        """Training or evaluation mode of what was added; the encoders themselves stay as they are.

        Dropout and batch statistics of pretrained encoders are never on, as their taps are kept.
        """
        self.eval()
        set_mode(self.method, mode)
        set_mode(self.fusion, mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm) and module.weight.requires_grad:
                module.train(mode)

    def encode_vision(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) normalised RGB -> visual tokens (B, N, D)."""
        return self.join_vision(self.vision.features(image))

    def join_vision(self, features: Sequence[Tensor]) -> Tensor:
        """Kept feature maps -> visual tokens (B, N, D): the trained part of `encode_vision`."""
        return self.fusion.prepare(self.join_taps(features))

    def join_taps(self, features: Sequence[Tensor]) -> Tensor:
        """What the method makes of feature maps: (B, N, D)."""
        return self.method.encode_vision(self.vision.taps(list(features)))

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(P, L) ids and mask -> text tokens (P, L, D)."""
        taps = self.text.taps(input_ids, attention_mask)
        return self.method.encode_text(taps, attention_mask.bool())

    def fuse(self, visual: Tensor, text: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Visual tokens (1 or P, N, D), text tokens (P, L, D) -> boxes (P, C, 4), logits (P, C).

        C candidates: one a cell, a single one with TransVG's fusion.
        """
        return self.fusion(visual, text, attention_mask.bool())

    def forward(
        self,
        photos: Tensor | Sequence[Tensor],
        photo_of: Tensor,
        text: Tensor | Sequence[Tensor],
        mask: Tensor,
        fast_math: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """A training step's forward pass: float32 boxes and logits as `fuse` gives them.

        Args:
            photos: images (B, 3, H, W), or their kept features.
            photo_of: (P,) index into the photos.
            text: (P, L) ids, or kept taps. mask: (P, L), 1 = token.
            fast_math: run in bfloat16; on a CPU all but the vision encoder, whose depthwise
                convolutions have no fast backward pass in it.
        """
        device = mask.device.type
        images = isinstance(photos, Tensor)
        with torch.autocast(device, torch.bfloat16, enabled=fast_math and device != "cpu"):
            visual = self.join_taps(self.vision.features(photos) if images else photos)
        with torch.autocast(device, torch.bfloat16, enabled=fast_math):
            visual = self.fusion.prepare(visual)
            taps = self.text.taps(text, mask) if isinstance(text, Tensor) else list(text)
            tokens = self.method.encode_text(taps, mask.bool())
            boxes, logits = self.fuse(visual[photo_of], tokens, mask)
        return boxes.float(), logits.float()

    def adapter_params(self) -> dict[str, nn.Parameter]:
        """Name -> parameter of everything that trains."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def adapter_state(self) -> dict[str, Tensor]:
        """What a checkpoint holds: parameters that train, statistics of batch norms that do."""
        state: dict[str, Tensor] = dict(self.adapter_params())
        for name, module in self.named_modules():
            if isinstance(module, _BatchNorm) and module.weight.requires_grad:
                state[f"{name}.running_mean"] = module.running_mean
                state[f"{name}.running_var"] = module.running_var
        return state


def set_mode(module: nn.Module, mode: bool) -> None:
    """Training or evaluation mode; a part that is frozen as a whole stays in evaluation mode."""
    parameters = list(module.parameters())
    if parameters and not any(p.requires_grad for p in parameters):
        module.eval()
        return
    module.training = mode
    for child in module.children():
        set_mode(child, mode)
