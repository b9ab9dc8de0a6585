"""Phrases in, boxes out.

    frame  ── vision graph ── visual tokens ─┐
                                             ├── fusion graph ── box, score
    phrase ── text graph ──── text tokens ───┘

The vision graph runs once per frame (a `FrameView` keeps its tokens), the text graph once per
phrase (a bounded cache keeps its tokens), the fusion graph once per question.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Literal, overload

from sdk._internal.arguments import as_path, whole
from sdk._internal.closing import Closing
from sdk.backends.session import Session
from sdk.bundle import DEFAULT_BUNDLE
from sdk.bundle.contract import IMAGE, VISION, VISUAL_TOKENS
from sdk.bundle.manifest import Manifest
from sdk.detail import MOST_DETAIL, cut_up
from sdk.errors import ArgumentError, BundleNotFoundError, ClosedError
from sdk.frame_view import FrameView
from sdk.info import describe
from sdk.inputs.frames import FrameLike, Region, as_bgr, crop
from sdk.inputs.phrases import EncodedPhrase, as_phrases
from sdk.lessons.background import Background
from sdk.lessons.lesson import Lesson
from sdk.loading import Held, hold, open_files
from sdk.results import Grounding
from sdk.streaming.capture import SourceLike
from sdk.streaming.stream import Stream
from sdk.streaming.tracking import Tracking
from sdk.teachable import Teachable
from sdk.teaching import Teaching
from sdk.text import PhraseReader


class Grounder(Teachable, Closing):
    """Finds the object that a phrase describes. Made by `Grounder.load`; safe to share by threads.

    The graphs are let go of when the grounder is closed, by `close` or by leaving its `with` block,
    or when nothing refers to it any more.

    Examples:
        >>> grounder = Grounder.load()
        >>> result = grounder.ground(frame, "the dog on the left")
        >>> result.box, result.score, result.found
    """

    def __init__(
        self,
        manifest: Manifest,
        reader: PhraseReader,
        sessions: Mapping[str, Session],
        precision: str,
        background: Background | None = None,
        reason: str = "asked for",
    ) -> None:
        """A grounder of what `load` has opened.

        Args:
            sessions: one per graph of the contract, by its name, at the named `precision`.
            reason: why it is this precision.

        Raises:
            BundleMismatchError: their tensors are not the contract's.
        """
        self.manifest = manifest
        self._reader = reader
        self._loaded: Held | None = hold(manifest, reader, sessions, background)
        self.info = describe(manifest, sessions, precision, reason)
        """What is loaded."""

    @classmethod
    def load(
        cls,
        bundle: str | os.PathLike[str] | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        spelling: bool = True,
        engines: str | os.PathLike[str] | None = None,
        deltas: Sequence[str | os.PathLike[str]] = (),
    ) -> "Grounder":
        """Load a bundle folder, and check it against its hashes.

        Args:
            bundle: the folder, None for the packaged one.
            device: "auto" (CUDA if the runtime has it, else CPU), "cpu", "cuda", "openvino",
                "tensorrt" (after `grounder compile`) or another of `sdk.backends.select.DEVICES`.
            precision: "auto" (on a CPU the fastest of the bundle's, measured at first use, see
                `sdk.backends.fastest`; "fp16" on an NVIDIA GPU that was asked for; else the
                bundle's own choice) or a name the bundle carries, as "fp32".
            threads: CPU threads, None for one per physical core.
            spelling: read "teh dog" as "the dog", where the bundle has a word list.
            engines: folder that `grounder compile --engines` wrote, None for the bundle's own.
            deltas: files of lessons to apply, see `teach`.

        Raises:
            BundleError: the bundle is missing, damaged, made for another version, or was replaced
                meanwhile.
            DeviceError: the device or the number of threads cannot be used here.
            DependencyError: a package that the device needs is missing.
            PrecisionError: the bundle does not carry the precision.
            ArgumentError: `engines` or one of `deltas` is no path.
            LessonError: a lesson is missing, damaged, of another bundle, or given twice.
            BackendError: the runtime cannot load a graph.
            EngineError: for TensorRT, a graph has not been compiled, or cannot be.
        """
        folder = DEFAULT_BUNDLE
        if bundle is not None:
            folder = as_path("bundle", bundle, error=BundleNotFoundError)
        compiled = None if engines is None else as_path("engines", engines)
        grounder = cls(*open_files(folder, device, precision, threads, compiled, spelling=spelling))
        if isinstance(deltas, str) or not isinstance(deltas, Sequence):
            raise ArgumentError(f"deltas: expected a list of files, got {deltas!r}")
        for delta in deltas:
            grounder.apply(Lesson.load(as_path("deltas", delta)))
        return grounder

    @overload
    def ground(  # type: ignore[overload-overlap]
        self,
        frame: FrameLike,
        text: str,
        *,
        alternatives: int = ...,
        region: Region | None = ...,
        detail: int = ...,
    ) -> Grounding: ...
    @overload
    def ground(
        self,
        frame: FrameLike,
        text: Sequence[str],
        *,
        alternatives: int = ...,
        region: Region | None = ...,
        detail: int = ...,
    ) -> list[Grounding]: ...
    def ground(
        self,
        frame: FrameLike,
        text: str | Sequence[str],
        *,
        alternatives: int = 0,
        region: Region | None = None,
        detail: int = 1,
    ) -> Grounding | list[Grounding]:
        """Ground one phrase, or several with one vision pass.

        Args:
            frame: (H, W, 3) uint8 BGR array as OpenCV gives it, `sdk.RGB` of an RGB one, an array
                of another library on the CPU, a picture's path or a PIL image.
            text: a phrase, or several.
            alternatives: how many other places to give besides the best, at most.
            region: (left, top, right, bottom) in pixels of the frame; nothing else is looked at,
                cut at the frame's edges. The boxes are in pixels of the whole frame.
            detail: look for what is not found in the whole also in parts of it, whose sides are
                this fraction of its longer one: 3 finds things a third as large, in a frame of
                1920 x 1080 for 8 more vision passes, and one for each phrase that a part finds. 1
                to 8.

        Returns:
            One result for a phrase that is a string; else a list, in the order of the phrases.

        Raises:
            FrameError: the frame or the region cannot be used.
            PhraseError: a phrase cannot be used.
            ArgumentError: `alternatives` or `detail` is out of range or no whole number.
            BackendError: the runtime failed.
            ClosedError: the grounder has been closed.
        """
        phrases = self.encode_phrases(text)  # first: a bad phrase should not cost a vision pass
        alternatives = whole("alternatives", alternatives, 0)
        corner = (0, 0)
        if region is not None:
            frame, corner = crop(as_bgr(frame), region)
        results = self.encode(frame, detail=detail).answer(phrases, alternatives)
        if corner != (0, 0):
            results = [result.moved(*corner) for result in results]
        return results[0] if isinstance(text, str) else results

    def encode(self, frame: FrameLike, *, detail: int = 1) -> FrameView:
        """Run the vision pass, the expensive part, for any number of phrases to come.

        Args:
            frame: as for `ground`.
            detail: as for `ground`; a part is encoded when a phrase is first not found.

        Raises:
            FrameError: the frame cannot be used.
            ArgumentError: `detail` is out of range or no whole number.
            BackendError: the runtime failed.
            ClosedError: the grounder has been closed.
        """
        detail = whole("detail", detail, 1, MOST_DETAIL)
        frame_bgr = as_bgr(frame)
        image = self.manifest.preprocess.tensor(frame_bgr)
        visual_tokens = self.sessions[VISION.name].run({IMAGE: image})[VISUAL_TOKENS]
        height, width = frame_bgr.shape[:2]
        parts = cut_up(frame_bgr, detail, self.encode)
        return FrameView(self, visual_tokens, (width, height), parts)

    def encode_phrases(self, text: str | Sequence[str]) -> list[EncodedPhrase]:
        """Run the text pass for each phrase that is not in the cache.

        Raises:
            PhraseError: a phrase cannot be used.
            BackendError: the runtime failed.
            ClosedError: the grounder has been closed.
        """
        held = self._held
        reading = held.teaching.reading
        return [held.encode(phrase, *reading.of(phrase)) for phrase in as_phrases(text)]

    @property
    def sessions(self) -> dict[str, Session]:
        """The graphs by name, for measuring them alone; `ground` is what they are for.

        Raises:
            ClosedError: the grounder has been closed.
        """
        return self._held.sessions

    def stream(
        self,
        source: SourceLike,
        phrases: str | Sequence[str],
        *,
        tracking: Tracking | Literal["auto"] | None = "auto",
        every: int = 1,
        policy: str = "auto",
        backlog: int = 64,
        reconnect_seconds: float = 30.0,
        detail: int = 1,
    ) -> Stream:
        """Ground phrases in frames as they come: an iterator of `sdk.StreamResult`.

        Args:
            source: what `sdk.inputs.sources.open_source` opens, or an iterable of frames.
            phrases: one, or several.
            tracking: how boxes are carried between groundings; None for groundings as they are.
                "auto" leaves separate pictures (a folder, a pattern) as they are, and is
                `sdk.Tracking()` for the rest.
            every: frames from one grounding to the next, at least. Frames between are carried;
                without tracking they are left out.
            policy: "newest" never waits: frames are dropped where the consumer or, without
                tracking, grounding is slow; with tracking a grounding comes when it is ready and is
                moved to the present. "all" gives every frame, in order, and the same results each
                time. "auto" is "newest" for cameras and network streams, else "all". With "newest"
                a video file plays at its own speed.
            backlog: with "all", how many frames of a camera or network stream may wait, as these
                wait for nobody. One more ends the stream with StreamOverflowError, after those that
                wait. A frame of 1920 x 1080 takes 6 MB. Files and iterables wait, and need no
                backlog.
            reconnect_seconds: how long a lost camera or stream is looked for, with growing pauses.
            detail: as for `ground`, in each frame that is grounded.

        Raises:
            SourceError: the source does not open, or is neither a source nor an iterable.
            FrameError: no picture decodes, as `open_source` raises it.
            DependencyError: the source is a pipeline, and OpenCV is built without GStreamer.
            PhraseError: a phrase cannot be used.
            ArgumentError: a number is out of range, the policy is unknown, or `tracking` is none
                of those.
            BackendError: the runtime failed on a phrase.
            ClosedError: the grounder has been closed.
        """
        return Stream(
            self,
            source,
            phrases,
            tracking=tracking,
            every=every,
            policy=policy,
            backlog=backlog,
            reconnect_seconds=reconnect_seconds,
            detail=detail,
        )

    def close(self) -> None:
        """Let go of the graphs and the phrases.

        A call under way on another thread ends as usual or raises ClosedError; every later call,
        also of views and streams, raises it. `manifest` and `info` stay.
        """
        self._loaded = None

    @property
    def _teaching(self) -> Teaching:
        return self._held.teaching

    @property
    def _held(self) -> Held:
        if self._loaded is None:
            raise ClosedError("expected an open grounder, got a closed one; load it again")
        return self._loaded
