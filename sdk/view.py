"""A frame that was encoded once, and what the fusion graph answers about it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from sdk.closing import Closing
from sdk.contract import (
    ATTENTION_MASK,
    BOXES,
    FUSION,
    LOGITS,
    PHRASES_PER_CALL,
    TEXT_TOKENS,
    VISUAL_TOKENS,
)
from sdk.decode import best_boxes, check_alternatives, next_best
from sdk.errors import BackendError, FrameError
from sdk.lessons import nothing_taught
from sdk.phrases import EncodedPhrase, pad_tokens
from sdk.results import Candidate, Grounding

if TYPE_CHECKING:
    from sdk.grounder import Grounder


class FrameView(Closing):
    """One encoded frame, to be asked about. Made by `Grounder.encode`.

    >>> with grounder.encode(frame) as view:
    ...     view.ground("the dog")
    """

    def __init__(
        self, grounder: "Grounder", visual_tokens: NDArray[np.float32], size_wh: tuple[int, int]
    ) -> None:
        visual_tokens.flags.writeable = False
        self._grounder = grounder
        self._visual_tokens: NDArray[np.float32] | None = visual_tokens
        self.size_wh = size_wh
        """Width and height of the frame in pixels."""

    @property
    def visual_tokens(self) -> NDArray[np.float32]:
        """(1, N, Dv) float32, read-only. Raises FrameError after `close`."""
        if self._visual_tokens is None:
            raise FrameError("this view is closed; encode the frame again")
        return self._visual_tokens

    @overload
    def ground(self, text: str, *, alternatives: int = ...) -> Grounding: ...  # type: ignore[overload-overlap]
    @overload
    def ground(self, text: Sequence[str], *, alternatives: int = ...) -> list[Grounding]: ...
    def ground(
        self, text: str | Sequence[str], *, alternatives: int = 0
    ) -> Grounding | list[Grounding]:
        """As `Grounder.ground`, without a vision pass.

        Raises PhraseError, BackendError; GroundingError for a negative `alternatives`.
        """
        check_alternatives(alternatives)
        results = self.answer(self._grounder.encode_phrases(text), alternatives)
        return results[0] if isinstance(text, str) else results

    def answer(self, phrases: Sequence[EncodedPhrase], alternatives: int) -> list[Grounding]:
        """As `ground`, of phrases that are encoded. Raises BackendError."""
        results: list[Grounding] = []
        for start in range(0, len(phrases), PHRASES_PER_CALL):
            results += self._answer(phrases[start : start + PHRASES_PER_CALL], alternatives)
        return results

    def _answer(self, phrases: Sequence[EncodedPhrase], alternatives: int) -> list[Grounding]:
        tokens, mask = pad_tokens([phrase.tokens for phrase in phrases])
        fusion = self._grounder.sessions[FUSION.name]
        inputs: dict[str, NDArray[Any]] = {TEXT_TOKENS: tokens, ATTENTION_MASK: mask}
        inputs[VISUAL_TOKENS] = self.visual_tokens
        outputs = fusion.run(inputs | nothing_taught(fusion.inputs))
        fractions, logits = best_boxes(outputs[BOXES], outputs[LOGITS])
        if not (np.isfinite(logits).all() and np.isfinite(fractions).all()):
            raise BackendError(
                "expected finite boxes and logits from the fusion graph, got NaN or infinity; use "
                "another precision or device, or export the bundle again"
            )
        results = []
        found = zip(phrases, self._candidates(fractions, logits), strict=True)
        for row, (phrase, best) in enumerate(found):
            result = Grounding(phrase.text, best.box, best.score, best.found)
            if alternatives:
                others, ranks = next_best(
                    fractions[row], outputs[BOXES][row], outputs[LOGITS][row], alternatives
                )
                result = replace(result, alternatives=tuple(self._candidates(others, ranks)))
            results.append(result)
        return results

    def _candidates(
        self, fractions: NDArray[np.float32], logits: NDArray[np.float32]
    ) -> list[Candidate]:
        """(K, 4) cxcywh fractions of the network input and (K,) logits, as users see them."""
        manifest = self._grounder.manifest
        candidates = []
        boxes = manifest.preprocess.box_to_frame(fractions, self.size_wh).tolist()
        for (left, top, right, bottom), logit in zip(boxes, logits.tolist(), strict=True):
            score = manifest.calibration.score(logit)
            box = (left, top, right, bottom)
            candidates.append(Candidate(box, score, score >= manifest.threshold))
        return candidates

    def close(self) -> None:
        """Let go of the visual tokens; optional, leaving the `with` block does it."""
        self._visual_tokens = None
