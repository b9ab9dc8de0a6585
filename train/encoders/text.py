"""Text encoders from transformers: phrases in, the taps that side networks read out."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from transformers import BertModel

from train.encoders.colour_words import ColourWords
from train.encoders.pretrained import load_strictly, read_config
from train.encoders.sublayers import Recorder, Sublayers, sublayers_of


class TransformersText(nn.Module):
    """A BERT.

    Its taps are the outputs of its layers, or with `sublayers` the embeddings, each layer's
    attention (normalised) and feed-forward output, and the last layer's output: 2 L + 2 tensors.
    With `colour_words` it reads all words for colours as one.
    """

    def __init__(self, net: BertModel, *, sublayers: bool = False) -> None:
        super().__init__()
        self.net = net
        self.net.pooler = None  # never used: taps are token features
        config = self.net.config
        count = config.num_hidden_layers
        self.tap_channels = [config.hidden_size] * (2 * count + 2 if sublayers else count)
        self._recorder = Recorder(self.layers) if sublayers else None
        self.colour_words: ColourWords | None = None

    @classmethod
    def load(cls, source: str | Path, *, sublayers: bool = False) -> TransformersText:
        """From a folder with `config.json` and `model.safetensors`, or a name on the model hub.

        Raises:
            ValueError: not a BERT (of which MiniLM is one), or see `load_strictly`.
            OSError: see `load_strictly`.
        """
        kind = read_config(source).model_type
        if kind != "bert":
            raise ValueError(
                f"--text: expected a model of type bert, whose WordPiece tokenizer is the "
                f"runtime's, got {kind} from {source}"
            )
        net = load_strictly(
            BertModel, source, lambda key: key.startswith("pooler."), attn_implementation="eager"
        )
        return cls(net, sublayers=sublayers)

    @property
    def layers(self) -> list[Sublayers]:
        """The two sublayers of each layer; attention's output is after its LayerNorm."""
        return sublayers_of(self.net, "encoder.layer", "attention", "output.dense")

    @property
    def norms(self) -> list[Sublayers]:
        """The LayerNorms after attention and after feed-forward of each layer."""
        names = ("attention.output.LayerNorm", "output.LayerNorm")
        return sublayers_of(self.net, "encoder.layer", *names)

    def taps(self, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
        """(P, L) ids and mask (1 = token) -> taps, each (P, L, C)."""
        ids = input_ids if self.colour_words is None else self.colour_words(input_ids)
        out = self.net(ids, attention_mask, output_hidden_states=True)
        if self._recorder is None:
            return list(out.hidden_states[1:])
        return [out.hidden_states[0], *self._recorder.take(), out.last_hidden_state]
