"""Ground phrases in a camera, a video, a stream or a folder of pictures.

python apps/webcam_demo.py --source 0 --phrase "the person on the left"
python apps/webcam_demo.py --source street.mp4 --phrase "a red car" --headless --output out.mp4
"""

import argparse
import statistics
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from itertools import islice, pairwise
from pathlib import Path

if __name__ == "__main__":  # started as a file: the repository is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from apps._video import VideoFile
from apps._window import Controls, Window
from sdk.cli import add_model_options, load_grounder, refuse_overwriting, report_errors
from sdk.display import require_display
from sdk.drawing import draw, write_image
from sdk.errors import PhraseError
from sdk.grounder import FrameView, Grounder
from sdk.results import Grounding
from sdk.sources import FrameSource, open_source

REDRAW_SECONDS = 0.03


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Find what a phrase describes in a camera, a video, a stream or pictures. "
        "In the window: Tab types another phrase, H shows the keys."
    )
    parser.add_argument(
        "--source",
        default="0",
        help="camera index, video file, RTSP or HTTP URL, picture or folder (default: camera 0)",
    )
    parser.add_argument(
        "--phrase", action="append", metavar="TEXT", help="what to find; may be repeated"
    )
    parser.add_argument("--headless", action="store_true", help="no window; needs --output")
    parser.add_argument("--output", metavar="FILE", help="annotated video to write, as out.mp4")
    parser.add_argument("--max-frames", type=int, metavar="N", help="stop after N frames")
    add_model_options(parser)
    args = parser.parse_args(argv)
    args.phrase = args.phrase or ["a person"]
    if args.headless and not args.output:
        parser.error("--headless shows nothing: say where to write the video, --output out.mp4")
    if args.max_frames is not None and args.max_frames < 1:
        parser.error(f"--max-frames: expected at least 1, got {args.max_frames}")
    return report_errors(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    if not args.headless:
        require_display()
    if args.output:
        refuse_overwriting(args.source, args.output)
    grounder = load_grounder(args)
    with ExitStack() as stack:
        source = stack.enter_context(open_source(args.source))
        output = window = None
        if args.output:
            output = stack.enter_context(VideoFile(args.output, source.fps, source.size_wh))
        if not args.headless:
            window = stack.enter_context(Window("grounder", source.size_wh))
        meter = Meter(source, args.max_frames)
        with suppress(KeyboardInterrupt):  # the usual way to end a camera
            ground_all(grounder, source, args.phrase, meter, output, window)
    print(meter.summary() + (f", wrote {args.output}" if args.output else ""))


def ground_all(
    grounder: Grounder,
    source: FrameSource,
    phrases: list[str],
    meter: "Meter",
    output: VideoFile | None,
    window: Window | None,
) -> None:
    """Ground, draw, save and show every frame until the source ends or the user quits."""
    controls = Controls(phrases)
    for frame in islice(source, meter.max_frames):
        started = time.perf_counter()
        view = grounder.encode(frame)
        results = view.ground(controls.phrases)
        meter.add(time.perf_counter() - started)
        if output:
            copies = meter.frames_due() - output.frames if source.live else 1
            output.write(draw(frame, results, header=[meter.text()]), max(0, copies))
        if window is None:
            meter.report()
            continue
        shown_until = started + (0 if source.live else 1 / source.fps)
        interact(window, controls, frame, view, results, meter.text(), shown_until)
        if controls.quitting:
            return
    if window and not meter.full:  # the source has ended: its last frame stays until the user quits
        controls.paused = True
        results = view.ground(controls.phrases)
        interact(window, controls, frame, view, results, meter.text(), 0)


def interact(
    window: Window,
    controls: Controls,
    frame: NDArray[np.uint8],
    view: FrameView,
    results: list[Grounding],
    status: str,
    shown_until: float,
) -> None:
    """Show one frame until `shown_until` (perf_counter), or while paused or typing, and obey keys.

    Typing holds the frame: OpenCV drops keys that come while a frame is being grounded. A new
    phrase is asked of the same view, which costs no vision pass.
    """
    while True:
        image = draw(frame, results, header=[status, *controls.lines()])
        wait = min(REDRAW_SECONDS, shown_until - time.perf_counter())
        held = controls.paused or controls.editing
        key = window.show(image, REDRAW_SECONDS if held else wait)
        if key is not None:
            asked = controls.phrases
            controls.press(key)
            if controls.phrases is not asked:
                results = ask(view, controls, results)
        if controls.snapping:
            controls.snapping = False
            path = time.strftime("snapshot-%Y%m%d-%H%M%S.jpg")
            write_image(path, draw(frame, results))
            controls.message = f"saved {path}"
        if window.closed:
            controls.quitting = True
        if controls.quitting:
            return
        if not (controls.paused or controls.editing) and time.perf_counter() >= shown_until:
            return


def ask(view: FrameView, controls: Controls, results: list[Grounding]) -> list[Grounding]:
    """Results for phrases just typed; for phrases that cannot be grounded, the ones before."""
    try:
        return view.ground(controls.phrases)
    except PhraseError as error:
        controls.reject(str(error))
        return results


class Meter:
    """Frame rate and latency, and what to say about them."""

    def __init__(self, source: FrameSource, max_frames: int | None) -> None:
        self.max_frames = max_frames
        self._fps = source.fps
        self._started = time.perf_counter()
        self._reported = self._started
        self._ends: deque[float] = deque(maxlen=31)
        self._latencies: list[float] = []

    def add(self, seconds: float) -> None:
        """`seconds`: what grounding one frame took."""
        self._latencies.append(seconds)
        self._ends.append(time.perf_counter())

    @property
    def full(self) -> bool:
        """Whether `max_frames` have been grounded."""
        return len(self._latencies) == self.max_frames

    def text(self) -> str:
        """As "24.8 FPS | 31 ms": medians of the last 30 frames, which a pause does not change."""
        recent = self._latencies[-30:]
        intervals = [end - start for start, end in pairwise(self._ends)] or recent
        fps, latency = 1 / statistics.median(intervals), statistics.median(recent)
        return f"{fps:.1f} FPS | {1000 * latency:.0f} ms"

    def frames_due(self) -> int:
        """Frames a recording of a live source must have by now to run at its true speed."""
        return 1 + int((time.perf_counter() - self._started) * self._fps)

    def report(self) -> None:
        """A progress line on stderr: often on a terminal, rarely in a log."""
        terminal = sys.stderr.isatty()
        if time.perf_counter() - self._reported >= (0.2 if terminal else 10):
            self._reported = time.perf_counter()
            total = f"/{self.max_frames}" if self.max_frames else ""
            line = f"frame {len(self._latencies)}{total}  {self.text()}"
            print(line, end="   \r" if terminal else "\n", file=sys.stderr, flush=True)

    def summary(self) -> str:
        if not self._latencies:
            return "0 frames"
        seconds = time.perf_counter() - self._started
        median = 1000 * statistics.median(self._latencies)
        return f"{len(self._latencies)} frames in {seconds:.1f} s, median latency {median:.1f} ms"


if __name__ == "__main__":
    sys.exit(main())
