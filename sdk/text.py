"""The text pass: from a phrase to what the fusion graph takes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdk.backends.session import Session
from sdk.bundle.contract import PRIOR_IDS, TEXT_TOKENS
from sdk.bundle.known_words import KnownWords, Unknown
from sdk.bundle.prior import BytePairs, PriorTokenizer, text_inputs
from sdk.bundle.spelling import Speller
from sdk.bundle.tokenizer import TokenizerSpec, WordPieceTokenizer
from sdk.errors import BundleMismatchError, PhraseError
from sdk.inputs.phrases import EncodedPhrase, stated_number
from sdk.lessons.lesson import Lesson

Encode = Callable[[str, str, Lesson | None], EncodedPhrase]
"""A checked phrase, how it is read, and the lesson of what it looks for -> its encoding."""


@dataclass(frozen=True)
class PhraseReader:
    """How a bundle reads a phrase."""

    tokenizer: WordPieceTokenizer
    prior: PriorTokenizer | None = None
    """Of a second text encoder."""
    speller: Speller | None = None
    known_words: KnownWords | None = None

    @classmethod
    def of_bundle(cls, folder: Path, spec: TokenizerSpec, *, spelling: bool) -> "PhraseReader":
        """From the files of a bundle.

        Raises:
            BundleError: one is missing or cannot be read.
        """
        prior = speller = known_words = None
        tokenizer = WordPieceTokenizer.from_file(folder / spec.vocab_file, spec.max_tokens)
        if spec.prior_file:
            pairs = BytePairs.from_file(folder / spec.prior_file)
            prior = PriorTokenizer(pairs, tokenizer.vocab)
        if spec.words_file:
            lists = folder / spec.words_file, folder / spec.vocab_file
            known_words = KnownWords.from_files(*lists)
            speller = Speller.from_files(*lists) if spelling else None
        return cls(tokenizer, prior, speller, known_words)

    def inputs(self, text: str) -> Mapping[str, NDArray[Any]]:
        """What the text graph takes of a phrase.

        Raises:
            PhraseError: it is too long, or has no word that the text encoder knows.
        """
        ids = self.tokenizer.encode(text)
        if all(token == self.tokenizer.unk_id for token in ids[1:-1]):
            raise PhraseError(
                f"expected words the text encoder knows, got {text[:40]!r}; a bundle understands "
                "what its text encoder was trained on"
            )
        return text_inputs(ids, self.prior)


def phrase_encoder(reader: PhraseReader, graph: Session) -> Encode:
    """A function that encodes a checked phrase; for any thread.

    No method: in a circle of references the graph would outlive its grounder.

    Returns:
        The function, which raises PhraseError and BackendError.

    Raises:
        BundleMismatchError: the graph has a second text encoder and the bundle no tokenizer for
            it, or the other way round.
    """
    if (PRIOR_IDS in {tensor.name for tensor in graph.inputs}) != (reader.prior is not None):
        raise BundleMismatchError(
            f"expected the text graph to take {PRIOR_IDS} where the manifest has tokenizer."
            "prior_file, and only there; export the bundle again"
        )

    def encode(phrase: str, read: str, lesson: Lesson | None) -> EncodedPhrase:
        """One phrase at a time, unpadded: see `sdk.bundle.contract`."""
        read = reader.speller.correct(read) if reader.speller else read
        tokens: NDArray[np.float32] = graph.run(reader.inputs(read))[TEXT_TOKENS][0]
        known = reader.known_words
        unknown = known.unknown(read) if known else Unknown((), head=False)
        return EncodedPhrase(phrase, tokens, unknown, stated_number(read), lesson)

    return encode
