"""Ground phrases in a video or in pictures: an annotated video, and a line of JSON a frame.

python apps/video_demo.py street.mp4 --phrase "a red car" --phrase "the cyclist" --output out.mp4
python apps/video_demo.py "shots/*.jpg" --phrase "the dog"
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any

if __name__ == "__main__":  # started as a file: the repository is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from apps.options import parse, positive
from apps.video_file import VideoFile, partial_name
from sdk._internal.closing import Closing
from sdk._internal.progress import Progress
from sdk.application import load_grounder, refuse_overwriting, report_errors
from sdk.errors import GroundingError, SourceError
from sdk.inputs.sources import FrameSource, open_source
from sdk.outputs.drawing import draw
from sdk.outputs.interop import to_json_line
from sdk.streaming.tracking import Tracking


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Find what phrases describe in every frame of a video, or in pictures. Ctrl-C "
        "stops and keeps what there is."
    )
    add = parser.add_argument
    add("input", help='video, folder of pictures or pattern, as "shots/*.jpg"')
    add("--output", default="grounded.mp4", metavar="FILE", help="video (default: %(default)s)")
    add("--jsonl", metavar="FILE", help="results (default: beside the video, as grounded.jsonl)")
    add(
        "--every",
        type=positive,
        default=1,
        metavar="N",
        help="ground every N-th frame (default: %(default)s); boxes are carried in between, and "
        "without tracking other frames are left out",
    )
    args = parse(parser, argv)
    args.jsonl = args.jsonl or str(Path(args.output).with_suffix(".jsonl"))
    return report_errors(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    for target in (args.output, args.jsonl):
        refuse_overwriting(args.input, target)
    grounder = load_grounder(args)
    with open_source(args.input) as source:
        if source.live:
            raise SourceError(
                f"expected a video file or pictures, got {args.input!r}, which has no end; "
                "apps/webcam_demo.py is for cameras and streams"
            )
        tracked = not source.stills if args.tracking is None else args.tracking
        step = 1 if tracked else args.every  # in frames of the input
        total = frames_to_come(source.announced, step, args.max_frames)
        started = time.perf_counter()
        with (
            Recording(args, source, 1 if source.stills else step) as recording,
            grounder.stream(
                source,
                args.phrase,
                tracking=Tracking() if tracked else None,
                every=args.every,
                policy="all",
                detail=args.detail,
            ) as stream,
            Progress("frames", total) as progress,
            interruptible() as interrupted,
        ):
            for seen in islice(stream, args.max_frames):
                time_s = seen.media_time
                line = to_json_line(
                    seen.results,
                    frame=seen.number,
                    time_s=seen.number / source.fps if time_s is None else time_s,
                    fresh=seen.fresh,
                    track_ids=seen.track_ids,
                )
                recording.write(draw(seen.frame, seen.results), line)
                progress.advance()
                if interrupted():
                    break
    ending = "stopped: " if interrupted() else ""
    seconds = time.perf_counter() - started
    print(
        f"{ending}{recording.frames} frames in {seconds:.1f} s, wrote {args.output} and "
        f"{args.jsonl}"
    )


def frames_to_come(announced: int, step: int, most: int | None) -> int | None:
    """Frames of the output; None where the input does not tell."""
    count = -(-announced // step)
    return min(count, most) if count and most else count or most


class Recording(Closing):
    """A video and its lines of JSON: they appear under their names together, when complete.

    Until then both are hidden files beside them. Whatever ends the `with` block, the frames written
    so far become the two files; without a frame there are none.
    """

    def __init__(self, args: argparse.Namespace, source: FrameSource, step: int) -> None:
        """`step`: frames of the source from one written to the next. Raises GroundingError."""
        self._path = Path(args.jsonl)
        self._partial = partial_name(self._path)
        if self._path.absolute() == Path(args.output).absolute():
            raise GroundingError(f"expected two names for video and results, got {args.output!r}")
        self._length = 0  # of the lines, in bytes
        self._video = VideoFile(args.output, source.fps / step, source.size_wh)
        try:
            self._lines = self._partial.open("wb")
        except OSError as error:
            self._video.close()
            raise self._cannot_write(error) from error

    @property
    def frames(self) -> int:
        """Written so far."""
        return self._video.frames

    def write(self, image: NDArray[np.uint8], line: str) -> None:
        """Append an annotated frame, (H, W, 3) uint8 BGR, and its line. Raises GroundingError."""
        data = (line + "\n").encode()
        try:
            self._lines.write(data)
            self._lines.flush()  # a full disk should be heard of before the frame is written
        except OSError as error:
            raise self._cannot_write(error) from error
        self._length += len(data)
        self._video.write(image)

    def close(self) -> None:
        """Finish both files. Raises GroundingError."""
        with suppress(OSError):  # of a line that a full disk did not take; it is cut off
            self._lines.close()
        try:
            os.truncate(self._partial, self._length)
            self._video.close()
            if self.frames:
                os.replace(self._partial, self._path)
        except OSError as error:
            raise self._cannot_write(error) from error
        finally:
            self._partial.unlink(missing_ok=True)

    def _cannot_write(self, error: OSError) -> GroundingError:
        return GroundingError(f"cannot write {str(self._path)!r}: {error.strerror}")


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C or SIGTERM lets the frame under way be finished; a second ends at once."""
    pressed = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def press(*_: Any) -> None:
        pressed.set()
        restore()

    for number in before:
        signal.signal(number, press)
    try:
        yield pressed.is_set
    finally:
        restore()


if __name__ == "__main__":
    sys.exit(main())
