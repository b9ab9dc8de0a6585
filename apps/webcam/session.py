"""What happens in the window: frames are shown as they come, keys and clicks are obeyed.

Frames are read, tracked and grounded on the threads of a `Stream`; this thread shows them, and
waits for nothing but keys.
"""

import time
from queue import Empty

import numpy as np
from numpy.typing import NDArray

from apps.webcam.canvas import Target, target_at
from apps.webcam.controls import Controls
from apps.webcam.meter import Meter
from apps.webcam.overlay import canvas_wh, compose, dragged_box
from apps.webcam.precision import PrecisionSwitch
from apps.webcam.recorder import Recorder, free_path
from apps.webcam.scene import Scene
from apps.webcam.why import Wording, reasons
from apps.webcam.window import Drag, Window
from sdk.errors import GroundingError, PhraseError, StreamEnded
from sdk.outputs.drawing import Rect, draw, write_image
from sdk.results import Grounding
from sdk.streaming.stream import Stream
from sdk.streaming.tracking import Tracking

KEY_SECONDS = 0.005
REDRAW_SECONDS = 0.2
"""Where nothing changes but a clock or a message that is old."""
STAY_SECONDS = 0.5
"""A frame that is shown for longer, as a picture, is one that stays."""
SILENCE_SECONDS = 2.0
"""Without a frame, after which the window says so."""


class Session:
    """One window on one stream, until the user quits."""

    def __init__(
        self,
        stream: Stream,
        window: Window,
        controls: Controls,
        meter: Meter,
        recorder: Recorder,
        switch: PrecisionSwitch,
        wording: Wording | None,
    ) -> None:
        """`stream`: of a source that was opened by name."""
        assert stream.source is not None
        self._stream, self._window, self._controls = stream, window, controls
        self._meter, self._recorder, self._switch = meter, recorder, switch
        self._wording = wording
        self._tracking = stream.tracking or Tracking()
        self._interval = 0.0 if stream.source.live else 1 / stream.source.fps
        self._due = self._heard = time.perf_counter()
        self._frame: NDArray[np.uint8] | None = None
        self._results: list[Grounding] = []
        self._tracked = self._ended = False
        self._error: GroundingError | None = None
        self._targets: list[Target] = []
        self._drawn = 0.0  # when; 0 for what must be drawn again
        self._pointer = window.pointer

    def run(self) -> None:
        """Raises what ended the stream, GroundingError, when the user has quit."""
        controls, window = self._controls, self._window
        controls.say("Tab: say what to find. H: all keys")
        window.title = controls.title
        while not (controls.quitting or self._meter.full):
            self._advance()
            self._ground_held()
            outdated = time.perf_counter() - self._drawn > REDRAW_SECONDS
            if outdated or window.pointer != self._pointer:
                self._show()
            key = window.key(KEY_SECONDS)
            if window.closed:
                break
            if key is not None:
                controls.press(key)
                self._obey()
            for drag in window.drags():
                if controls.teaching and (box := self._box(drag)):
                    self._learn(box)
                elif target := target_at(self._targets, drag[1]):
                    controls.click(target.name, target.phrase)
                    self._obey()
            self._change_precision()
        if self._error:
            raise self._error

    @property
    def _held(self) -> bool:
        return self._controls.paused or self._ended

    def _advance(self) -> None:
        """Take the next frame if it is there and wanted now."""
        now = time.perf_counter()
        stepping = "step" in self._controls.wishes
        if self._held and not stepping:
            self._recorder.hold()
            self._heard = now
        if self._ended or not (stepping or (not self._held and now >= self._due)):
            return
        try:
            seen = self._stream.get(timeout=0)
        except Empty:
            return
        except GroundingError as error:
            self._end(error)
            return
        self._controls.wishes.discard("step")
        self._heard = now
        self._due = max(self._due, now - self._interval) + self._interval
        self._frame, self._results = seen.frame, seen.results
        self._tracked = self._stream.tracking is not None
        self._meter.add(seen)
        self._recorder.write(self._annotated(header=True), now)
        self._drawn = 0.0

    def _end(self, error: GroundingError) -> None:
        if not isinstance(error, StreamEnded):
            if self._frame is None:
                raise error
            self._error = error
        self._ended = True
        self._controls.wishes.discard("step")
        self._stop_recording()

    def _ground_held(self) -> None:
        """A frame that stays shows the phrases that are looked for now."""
        stays = self._held or self._interval > STAY_SECONDS
        asked = self._controls.phrases
        if not stays or self._frame is None or [r.text for r in self._results] == asked:
            return
        stream = self._stream
        self._results = stream.grounder.ground(self._frame, asked, detail=stream.detail)
        self._tracked, self._drawn = False, 0.0

    def _obey(self) -> None:
        """Do what the last key or click asked for."""
        controls, stream = self._controls, self._stream
        self._drawn = 0.0
        self._window.title = controls.title
        if stream.phrases != controls.phrases:
            try:
                stream.phrases = controls.phrases
            except PhraseError as error:
                controls.reject(str(error))
                self._window.title = controls.title
        if controls.tracking != (stream.tracking is not None):
            stream.tracking = self._tracking if controls.tracking else None
        if controls.recording != (self._recorder.seconds is not None):
            self._start_recording() if controls.recording else self._stop_recording()
        if "precision" in controls.wishes:
            controls.wishes.discard("precision")
            self._switch.start()
        if "absent" in controls.wishes:
            controls.wishes.discard("absent")
            self._learn(None)
        if "snapshot" in controls.wishes:
            controls.wishes.discard("snapshot")
            self._save_snapshot()

    def _change_precision(self) -> None:
        if grounder := self._switch.take():
            grounder.learn_from(self._stream.grounder)
            self._stream.grounder = grounder
            self._drawn = 0.0
            if self._held:
                self._results = []

    def _box(self, drag: Drag) -> Rect | None:
        """What is drawn around in the window, in pixels of the frame."""
        if self._frame is None:
            return None
        height, width = self._frame.shape[:2]
        return dragged_box(drag, (width, height), canvas_wh(self._window.size_wh))

    def _learn(self, box: Rect | None) -> None:
        """The last phrase means what is in the box; None: it is not in the picture."""
        if self._frame is None:
            return
        phrase = self._controls.phrases[-1]
        try:
            figures = self._stream.grounder.remember(phrase, self._frame, box).figures
            learned = f'"{phrase}" is learned (boxes: {figures.examples}'
            self._controls.say(f"{learned}, pictures without it: {figures.absent})")
        except GroundingError as error:
            self._controls.say(str(error))
        self._results, self._drawn = [], 0.0

    def _start_recording(self) -> None:
        try:
            if self._ended:
                raise GroundingError("there is nothing more to record: the source has ended")
            self._recorder.start(free_path("recording", ".mp4"))
        except GroundingError as error:
            self._controls.recording = False
            self._controls.say(str(error))

    def _stop_recording(self) -> None:
        self._controls.recording = False
        if self._recorder.seconds is None:
            return
        try:
            path = self._recorder.stop()
            self._controls.say(f"saved {path}" if path else "nothing was recorded")
        except GroundingError as error:
            self._controls.say(str(error))

    def _save_snapshot(self) -> None:
        if self._frame is None:
            return
        path = free_path("snapshot", ".jpg")
        try:
            write_image(path, self._annotated(header=False))
            self._controls.say(f"saved {path}")
        except GroundingError as error:
            self._controls.say(str(error))

    def _annotated(self, *, header: bool) -> NDArray[np.uint8]:
        """The frame at its own size, with the results of the phrases that are looked for."""
        assert self._frame is not None
        asked = [result for result in self._results if result.text in self._controls.phrases]
        colours = [self._controls.colour(result.text) for result in asked]
        lines = [self._meter.text()] if header else []
        return draw(self._frame, asked, header=lines, colours=colours)

    def _show(self) -> None:
        info = self._stream.grounder.info
        size = "" if self._frame is None else f", {self._frame.shape[1]} x {self._frame.shape[0]}"
        scene = Scene(
            frame=self._frame,
            results=self._results,
            rates=(
                f"{self._meter.fps:.1f} frames/s shown",
                f"{self._meter.groundings_per_second:.1f} groundings/s",
                f"{info.precision} on {info.device}{size}",
            ),
            samples=self._meter.samples,
            reasons=self._reasons(),
            precision=info.precision,
            loading=self._switch.loading,
            recorded=self._recorder.seconds,
            notice=self._notice(),
            dragged=self._dragged(),
        )
        self._pointer = self._window.pointer
        size_wh = canvas_wh(self._window.size_wh)
        image, self._targets = compose(size_wh, scene, self._controls, self._pointer)
        self._window.show(image)
        self._drawn = time.perf_counter()

    def _reasons(self) -> dict[str, list[str]]:
        """Per phrase that is not found, or is strange, why."""
        if self._frame is None:
            return {}
        size_wh = self._frame.shape[1::-1]
        threshold = self._stream.grounder.manifest.threshold
        tracking = self._tracking if self._tracked else None
        said = {}
        for result in self._results:
            if result.text in self._controls.phrases:
                notes = self._wording.notes(result.text) if self._wording else []
                said[result.text] = [*reasons(result, size_wh, threshold, tracking), *notes]
        return {phrase: lines for phrase, lines in said.items() if lines}

    def _dragged(self) -> Rect | None:
        drag = self._window.dragging
        return self._box(drag) if drag and self._controls.teaching else None

    def _notice(self) -> str:
        if self._error:
            return f"the source has ended: {self._error}"
        if self._ended:
            return "the source has ended; this was its last frame"
        silence = time.perf_counter() - self._heard
        if silence > SILENCE_SECONDS:
            return f"no frame for {silence:.0f} s"
        return "paused" if self._controls.paused else ""
