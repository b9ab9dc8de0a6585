"""Words for colours, kept apart from the rest of a phrase."""

from pathlib import Path

import torch

from sdk import Grounder
from sdk.bundle.contract import COLOURS
from sdk.bundle.tokenizer import WordPieceTokenizer
from tests.tiny import IMAGE_SIZE, VOCAB, tiny_model, tiny_text_encoder
from train.build import DEFAULT_BUNDLE, DEFAULT_VOCAB, MAX_TOKENS, read_vocab, use_vocab
from train.data.colours import NAMES
from train.encoders.colour_words import ColourWords
from train.encoders.text import TransformersText
from train.features import CachedTextFeatures, TextTokens


def shipped() -> tuple[ColourWords, WordPieceTokenizer]:
    pieces = read_vocab(DEFAULT_VOCAB)
    words = ColourWords(len(pieces))
    words.use(pieces)
    return words, WordPieceTokenizer.from_file(DEFAULT_VOCAB, MAX_TOKENS)


def test_a_phrase_names_the_colours_that_it_says_as_words() -> None:
    words, tokenizer = shipped()

    def named(text: str) -> set[str]:
        (said,) = words.named(torch.tensor([tokenizer.encode(text)])).any(1)
        return {name for name, is_said in zip(NAMES, said.tolist(), strict=True) if is_said}

    assert all(named(f"the {name} mug") == {name} for name in NAMES)
    assert named("a Gray cat, blue eyes") == {"grey", "blue"}
    assert named("the blackboard and the reddish orangutan") == set()


def test_all_colours_are_read_as_one_word_and_the_fruit_as_itself() -> None:
    words, tokenizer = shipped()

    def read(text: str) -> list[int]:
        return words(torch.tensor([tokenizer.encode(text)]))[0].tolist()

    assert read("a pink shirt") == read("a gray shirt") == tokenizer.encode("a black shirt")
    assert read("the dog by an orange") == tokenizer.encode("the dog by an orange")


def test_a_vocabulary_without_colours_names_none() -> None:
    words, ids = ColourWords(4), torch.arange(4)[None]
    assert not words.named(ids).any() and torch.equal(words(ids), ids)
    words.use(["a", "dog", "cat", "##s"])
    assert not words.named(ids).any() and torch.equal(words(ids), ids)
    words.use(["a", "red", "dog", "blue"])
    assert words(ids).tolist() == [[0, 1, 2, 1]]


@torch.no_grad()
def test_the_encoder_reads_the_one_word(tmp_path: Path) -> None:
    source = tiny_text_encoder(tmp_path)
    plain, apart = TransformersText.load(source), TransformersText.load(source)
    apart.colour_words = ColourWords(4)
    apart.colour_words.use(["[PAD]", "a", "blue", "red"])
    mask = torch.ones(1, 3, dtype=torch.long)
    read = apart.taps(torch.tensor([[1, 2, 1]]), mask)
    for ours, theirs in zip(read, plain.taps(torch.tensor([[1, 3, 1]]), mask), strict=True):
        assert torch.equal(ours, theirs)


@torch.no_grad()
def test_a_model_knows_colours_by_the_pixels_alone(tmp_path: Path) -> None:
    """Its words are the same for two colours, what goes past them is not, kept or live."""
    model = tiny_model(tmp_path)
    renamed = {"cat": "red", "cow": "blue"}
    vocab = tmp_path / "colours.txt"
    vocab.write_text("\n".join(renamed.get(piece, piece) for piece in VOCAB) + "\n")
    use_vocab(model, vocab)
    tokenizer = WordPieceTokenizer.from_file(vocab, MAX_TOKENS)
    phrases = ["the red dog", "the blue dog"]
    ids, mask = TextTokens(tokenizer)(phrases)
    red, blue = model.encode_text(ids, mask)
    assert torch.equal(red[:, : model.dim], blue[:, : model.dim])
    assert red[2, model.dim :].nonzero().flatten().tolist() == [NAMES.index("red")]
    assert blue[2, model.dim :].nonzero().flatten().tolist() == [NAMES.index("blue")]
    kept, kept_mask = CachedTextFeatures(model.text, tokenizer)(phrases)
    image, photo_of = torch.rand(1, 3, IMAGE_SIZE, IMAGE_SIZE), torch.zeros(2, dtype=torch.long)
    live, from_kept = model(image, photo_of, ids, mask), model(image, photo_of, kept, kept_mask)
    torch.testing.assert_close(from_kept.logits, live.logits, atol=0.05, rtol=0.05)
    assert not torch.allclose(live.logits[0], live.logits[1], atol=0.05)


def test_the_shipped_bundle_does_too() -> None:
    with Grounder.load(DEFAULT_BUNDLE, device="cpu") as grounder:
        red, blue = (p.tokens for p in grounder.encode_phrases(["the red dog", "the blue dog"]))
    words, colours = red.shape[1] - COLOURS, [NAMES.index("red"), NAMES.index("blue")]
    assert (red[:, :words] == blue[:, :words]).all()
    assert [one[2, words:].nonzero()[0].tolist() for one in (red, blue)] == [[c] for c in colours]
