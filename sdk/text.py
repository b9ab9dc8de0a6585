"""The text pass: from a phrase to what the fusion graph takes of it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sdk.backends.session import Session
from sdk.bundle.contract import ATTENTION_MASK, INPUT_IDS, TEXT_TOKENS
from sdk.bundle.known_words import KnownWords, Unknown
from sdk.bundle.manifest import Manifest
from sdk.bundle.spelling import Speller
from sdk.bundle.tokenizer import WordPieceTokenizer
from sdk.errors import PhraseError
from sdk.inputs.phrases import EncodedPhrase, stated_number
from sdk.lessons.lesson import Lesson

Encode = Callable[[str, str, Lesson | None], EncodedPhrase]
"""A checked phrase, how it is read, and the lesson of what it looks for -> its encoding."""


def phrase_encoder(
    manifest: Manifest,
    tokenizer: WordPieceTokenizer,
    graph: Session,
    speller: Speller | None,
    known_words: KnownWords | None,
) -> Encode:
    """A function that encodes a checked phrase; for any thread.

    No method: in a circle of references the graph would outlive its grounder.

    Returns:
        The function, which raises PhraseError and BackendError.
    """

    def encode(phrase: str, read: str, lesson: Lesson | None) -> EncodedPhrase:
        """One phrase at a time, unpadded: see `sdk.bundle.contract`."""
        read = speller.correct(read) if speller else read
        ids = tokenizer.encode(read)
        if all(token == tokenizer.unk_id for token in ids[1:-1]):
            raise PhraseError(
                f"expected words the text encoder knows, got {phrase[:40]!r}; this bundle "
                f"understands what {manifest.encoders.text} was trained on"
            )
        input_ids = np.array([ids], np.int64)
        inputs = {INPUT_IDS: input_ids, ATTENTION_MASK: np.ones_like(input_ids)}
        tokens: NDArray[np.float32] = graph.run(inputs)[TEXT_TOKENS][0]
        unknown = known_words.unknown(read) if known_words else Unknown((), head=False)
        return EncodedPhrase(phrase, tokens, unknown, stated_number(read), lesson)

    return encode
