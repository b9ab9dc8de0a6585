"""Text encoders from transformers, loaded strictly: every weight must come from the files."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from transformers import AutoModel
from transformers.utils import logging


class TransformersText(nn.Module):
    """A BERT-like encoder whose taps are its hidden states, embedding output excluded.

    Args:
        source: a folder with `config.json` and `model.safetensors`, or a name on the model hub.

    Raises:
        ValueError: weights missing from the files would stay random.
        OSError: from transformers, when the files or the hub cannot be reached.
    """

    def __init__(self, source: str | Path) -> None:
        super().__init__()
        logging.disable_progress_bar()  # local files load in a blink; bars belong to long work
        self.net, info = AutoModel.from_pretrained(
            str(source), output_loading_info=True, attn_implementation="eager"
        )
        missing = [key for key in info["missing_keys"] if not key.startswith("pooler.")]
        if missing:
            raise ValueError(
                f"{source}: {len(missing)} weights are not in the files and would stay random "
                f"(first: {missing[0]}); expected a complete encoder checkpoint"
            )
        self.net.pooler = None  # never used: taps are token features
        config = self.net.config
        self.tap_channels = [config.hidden_size] * config.num_hidden_layers

    def taps(self, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
        """(P, L) ids and mask (1 = token) -> one (P, L, C) tensor a layer."""
        out = self.net(input_ids, attention_mask, output_hidden_states=True)
        return list(out.hidden_states[1:])
