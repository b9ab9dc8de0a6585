"""A frame that was encoded once, and what the fusion graph answers about it."""

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from sdk._internal.arguments import whole
from sdk._internal.closing import Closing
from sdk.bundle.calibration import Calibration
from sdk.bundle.contract import (
    BOXES,
    FUSION,
    LOGITS,
    MEMBER_LOGITS,
    PHRASES_PER_CALL,
    VISUAL_TOKENS,
)
from sdk.detail import Part, look_closer
from sdk.errors import BackendError, FrameError
from sdk.geometry.decode import best_boxes, instances, next_best
from sdk.inputs.phrases import EncodedPhrase, fusion_inputs
from sdk.protocols import Grounds
from sdk.results import Grounding, Place

STATED_SHARE = 0.4
"""Of the threshold for further instances, where the phrase says how many there are: as many are
given at most. Of 0.3 to 0.75 it gives the highest F1 on the validation captions' phrases with a
number, on the half of the photos that thresholds are fitted on."""

LOOKS_ALIKE = 1.0
"""Logits that further instances of a taught name need more than the best: parts look like it."""


class FrameView(Closing):
    """One encoded frame, to be asked about. Made by `Grounder.encode`.

    Examples:
        >>> with grounder.encode(frame) as view:
        ...     view.ground("the dog")
    """

    def __init__(
        self,
        grounder: Grounds,
        visual_tokens: NDArray[np.float32],
        size_wh: tuple[int, int],
        parts: Sequence[Part] = (),
    ) -> None:
        visual_tokens.flags.writeable = False
        self._grounder = grounder
        self._visual_tokens: NDArray[np.float32] | None = visual_tokens
        self.size_wh = size_wh
        """Width and height of the frame in pixels."""
        self._parts = parts

    @property
    def visual_tokens(self) -> NDArray[np.float32]:
        """(1, N, Dv) float32, read-only.

        Raises:
            FrameError: the view has been closed.
        """
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

        Args:
            text: a phrase, or several.
            alternatives: how many other places to give besides the best, at most.

        Returns:
            One result for a phrase that is a string; else a list, in the order of the phrases.

        Raises:
            FrameError: the view has been closed.
            PhraseError: a phrase cannot be used.
            ArgumentError: `alternatives` is negative or no whole number.
            BackendError: the runtime failed.
            ClosedError: the grounder has been closed.
        """
        alternatives = whole("alternatives", alternatives, 0)
        results = self.answer(self._grounder.encode_phrases(text), alternatives)
        return results[0] if isinstance(text, str) else results

    def answer(self, phrases: Sequence[EncodedPhrase], alternatives: int) -> list[Grounding]:
        """As `ground`, of phrases that are encoded.

        Raises:
            FrameError: the view has been closed.
            BackendError: the runtime failed, or gave NaN or infinity.
            ClosedError: the grounder has been closed.
        """
        results: list[Grounding] = []
        for start in range(0, len(phrases), PHRASES_PER_CALL):
            results += self._answer(phrases[start : start + PHRASES_PER_CALL], alternatives)
        threshold = self._grounder.manifest.threshold
        return look_closer(self._parts, phrases, results, alternatives, threshold)

    def _answer(self, phrases: Sequence[EncodedPhrase], alternatives: int) -> list[Grounding]:
        inputs = fusion_inputs([phrase.tokens for phrase in phrases])
        inputs[VISUAL_TOKENS] = self.visual_tokens
        outputs = self._as_taught(self._grounder.sessions[FUSION.name].run(inputs), phrases)
        fractions, logits = best_boxes(outputs[BOXES], outputs[LOGITS])
        if not (np.isfinite(logits).all() and np.isfinite(fractions).all()):
            raise BackendError(
                "expected finite boxes and logits from the fusion graph, got NaN or infinity; use "
                "another precision or device, or export the bundle again"
            )
        return [
            self._grounding(
                phrase,
                box,
                float(logit),
                {name: o[row] for name, o in outputs.items()},
                alternatives,
            )
            for row, (phrase, box, logit) in enumerate(zip(phrases, fractions, logits, strict=True))
        ]

    def _as_taught(
        self, outputs: dict[str, NDArray[np.float32]], phrases: Sequence[EncodedPhrase]
    ) -> dict[str, NDArray[np.float32]]:
        """The outputs, with what lessons say of the candidates of taught names."""
        if not any(phrase.lesson for phrase in phrases):
            return outputs
        manifest = self._grounder.manifest
        outputs = {name: output.copy() for name, output in outputs.items()}
        for row, phrase in enumerate(phrases):
            if phrase.lesson is None:
                continue
            boxes, logits = outputs[BOXES][row], outputs[LOGITS][row]
            told = phrase.lesson.logits(self.visual_tokens, boxes, logits)
            logits[:] = manifest.calibration.beyond(manifest.threshold, told)
            if MEMBER_LOGITS in outputs:
                least = manifest.instance_threshold
                surely = told - LOOKS_ALIKE
                outputs[MEMBER_LOGITS][row] = manifest.instance_calibration.beyond(least, surely)
        return outputs

    def _grounding(
        self,
        phrase: EncodedPhrase,
        box: NDArray[np.float32],
        logit: float,
        outputs: dict[str, NDArray[np.float32]],
        alternatives: int,
    ) -> Grounding:
        """Of one phrase, whose best box is cxcywh fractions of the network input."""
        manifest = self._grounder.manifest
        boxes, logits = outputs[BOXES], outputs[LOGITS]
        (best,) = self._places(box[None], np.array([logit]), manifest.calibration)
        if phrase.unknown.head:
            best = Place(best.box, 0.0)
        found = best.score >= manifest.threshold and not phrase.unknown.head
        named, others = [best] if found else [], []
        taken = box[None]
        if found and MEMBER_LOGITS in outputs:
            share = STATED_SHARE if phrase.number else 1.0
            least = manifest.instance_calibration.logit(share * manifest.instance_threshold)
            most = phrase.number - 1 if phrase.number else len(boxes)
            more, members = instances(box, boxes, outputs[MEMBER_LOGITS], least, most)
            named += self._places(more, members, manifest.instance_calibration)
            taken = np.vstack([taken, more])
        if alternatives:
            chosen = next_best(taken, boxes, logits, alternatives)
            others = self._places(boxes[chosen], logits[chosen], manifest.calibration)
        unknown = phrase.unknown.words
        return Grounding(
            phrase.text, best.box, best.score, found, tuple(named), tuple(others), unknown
        )

    def _places(
        self,
        fractions: NDArray[np.float32],
        logits: NDArray[np.floating[Any]],
        calibration: Calibration,
    ) -> list[Place]:
        """(K, 4) cxcywh fractions of the network input and (K,) logits, as users see them."""
        boxes = self._grounder.manifest.preprocess.box_to_frame(fractions, self.size_wh).tolist()
        return [
            Place((left, top, right, bottom), calibration.score(logit))
            for (left, top, right, bottom), logit in zip(boxes, logits.tolist(), strict=True)
        ]

    def fractions(self, box: Sequence[float]) -> NDArray[np.float32]:
        """A box in pixels of the frame, xyxy -> (4,) cxcywh, fractions of the network input."""
        return self._grounder.manifest.preprocess.box_from_frame(box, self.size_wh)

    def close(self) -> None:
        """Let go of the visual tokens; optional, leaving the `with` block does it."""
        self._visual_tokens, self._parts = None, ()
