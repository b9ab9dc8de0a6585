"""MaPPER's CLIP prior: strictly loaded, its tokens brought to the text encoder's word pieces."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BertConfig, BertModel, CLIPTextModelWithProjection, CLIPTokenizer

from sdk.bundle.contract import COLOURS
from tests.tiny import tiny_model
from tests.tiny_clip import POSITIONS, WIDTH, tiny_clip
from train.encoders.text import TransformersText
from train.methods.mapper import guide_text
from train.methods.mapper.prior import ClipPrior, SelfPrior, prior_tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, CLS, SEP = 0, 2, 3
VOCAB = [*SPECIAL, "red", "a", "app", "##le", "##s", "umbrella"]


def encode(*pieces: str, length: int = 0) -> tuple[Tensor, Tensor]:
    """Ids and mask of one phrase between [CLS] and [SEP], padded to `length`."""
    ids = [CLS, *(VOCAB.index(piece) for piece in pieces), SEP]
    padding = max(0, length - len(ids))
    mask = [1] * len(ids) + [0] * padding
    return torch.tensor([ids + [PAD] * padding]), torch.tensor([mask])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def prior(folder: Path) -> ClipPrior:
    return ClipPrior.load(folder, VOCAB).requires_grad_(False)


@pytest.fixture(scope="module")
def text() -> TransformersText:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(VOCAB),
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
    )
    return TransformersText(BertModel(config)).requires_grad_(False).eval()


def clip_features(folder: Path, phrase: str) -> tuple[list[str], Tensor]:
    """CLIP's own tokens of a phrase, begin and end included, and its features (T, C).

    Projected, as `text_embeds` is at the end of the text.
    """
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    net = CLIPTextModelWithProjection.from_pretrained(folder).eval()
    ids = tokenizer(phrase).input_ids
    with torch.no_grad():
        outputs = net(torch.tensor([ids]))
        features = outputs.last_hidden_state[0] @ net.text_projection.weight.T
    close(features[-1], outputs.text_embeds[0])
    return tokenizer.convert_ids_to_tokens(ids), features


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_a_words_clip_tokens_are_averaged_for_all_its_word_pieces(
    folder: Path, prior: ClipPrior, text: TransformersText
) -> None:
    tokens, features = clip_features(folder, "a red apples umbrella")
    assert tokens[1:7] == ["a</w>", "red</w>", "app", "l", "e", "s</w>"]
    assert len(tokens) == 15  # seven of the umbrella, and the end
    given = prior(text, *encode("a", "red", "app", "##le", "##s", "umbrella"))
    assert given.shape == (1, 8, WIDTH)
    close(given[0, 1], features[1])
    close(given[0, 2], features[2])
    for piece in (3, 4, 5):
        close(given[0, piece], features[3:7].mean(0))
    close(given[0, 6], features[7:14].mean(0))
    for special in (0, 7):
        close(given[0, special], features[-1])
    assert (features[3:7].std(0) > 1e-2).any()  # the mean is no single token


def test_padding_and_company_change_no_token_of_a_phrase(
    prior: ClipPrior, text: TransformersText
) -> None:
    long, long_mask = encode("a", "red", "umbrella", "app", "##le")
    length = long.shape[1]
    alone = prior(text, *encode("red", "app"))
    ids, mask = encode("red", "app", length=length)
    padded = prior(text, ids, mask)
    together = prior(text, torch.cat([long, ids]), torch.cat([long_mask, mask]))
    close(padded[:, :4], alone)
    close(together[1], padded[0])
    close(together[0], prior(text, long, long_mask)[0])
    close(padded[0, 4:], alone[:, 3].expand(length - 4, -1))  # padding is told the end of text
    assert (alone[0, 1] - alone[0, 2]).abs().max() > 1e-2


def test_words_beyond_clips_positions_are_told_the_end_of_text(
    folder: Path, prior: ClipPrior, text: TransformersText
) -> None:
    reached = ["red", "umbrella", "umbrella"]  # 1 + 7 + 7 tokens, begin and end: 17 of 18
    given = prior(text, *encode(*reached, "umbrella", "app", "##le", "red"))
    _, features = clip_features(folder, " ".join(reached))
    assert len(features) == POSITIONS - 1
    close(given[0, 1], features[1])
    close(given[0, 3], features[9:16].mean(0))
    for beyond in (4, 5, 6, 7):
        close(given[0, beyond], features[-1])
    exact = prior(text, *encode(*reached, "a"))  # fills the positions to the last
    close(exact[0, 4], clip_features(folder, " ".join([*reached, "a"]))[1][16])
    assert prior(text, *encode(*["umbrella"] * 60)).isfinite().all()


def test_a_missing_tensor_is_refused(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / "model.safetensors"
    tensors = load_file(weights)
    name = next(name for name in tensors if "layers.1.mlp.fc1.weight" in name)
    del tensors[name]
    save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(ValueError, match=r"1 weights are not in the files.*layers\.1\.mlp\.fc1"):
        ClipPrior.load(tmp_path, VOCAB)


def test_the_loaded_weights_are_those_of_the_file(folder: Path, prior: ClipPrior) -> None:
    loaded = prior.net.state_dict()
    saved = load_file(folder / "model.safetensors")
    assert saved and all(torch.equal(loaded[name], tensor) for name, tensor in saved.items())
    assert prior.width == WIDTH


def test_neither_the_prior_nor_the_text_encoder_trains(
    folder: Path, text: TransformersText
) -> None:
    text.requires_grad_(True)  # guide_text freezes it
    guided = guide_text(text, ClipPrior.load(folder, VOCAB))
    guided.dypa.requires_grad_(True)
    out, prior = guided.taps(*encode("red", "app", "##le"))
    assert guided.tap_channels == [16, WIDTH]
    assert not prior.requires_grad and out.requires_grad is True
    trained = {name.split(".")[0] for name, p in guided.named_parameters() if p.requires_grad}
    assert trained == {"dypa"}


def test_a_prior_of_its_own_is_the_text_encoders_last_tap_and_has_no_tokenizer(
    prior: ClipPrior, text: TransformersText
) -> None:
    ids, mask = encode("red", "app", "##le")
    own = SelfPrior(16)
    assert torch.equal(own(text, ids, mask), text.taps(ids, mask)[-1])
    assert prior_tokenizer(guide_text(text, own)) is None
    assert prior_tokenizer(guide_text(text, prior)) is prior.tokenizer


def test_a_run_with_a_clip_folder_trains_no_part_of_it(folder: Path, tmp_path: Path) -> None:
    model = tiny_model(tmp_path, method="mapper", prior=str(folder))
    assert isinstance(model.text.prior, ClipPrior)
    assert not any(name.startswith("text.prior.") for name in model.adapter_state())
    model.train()
    assert not model.text.prior.net.training
    tokens = model.encode_text(*encode("red", "a"))
    tokens.sum().backward()
    assert tokens.shape == (1, 4, 16 + COLOURS)
    assert all(p.grad is None for p in model.text.prior.parameters())
