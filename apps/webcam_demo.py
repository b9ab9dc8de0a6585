"""Ground phrases in a camera, a video, a stream or a folder of pictures.

python apps/webcam_demo.py --source 0 --phrase "the person on the left"
python apps/webcam_demo.py --source street.mp4 --phrase "a red car" --headless --output out.mp4
"""

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

if __name__ == "__main__":  # started as a file: the repository is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from apps.options import parse
from apps.webcam.controls import Controls
from apps.webcam.meter import Meter
from apps.webcam.overlay import window_wh
from apps.webcam.precision import PrecisionSwitch
from apps.webcam.recorder import Recorder
from apps.webcam.session import Session
from apps.webcam.why import Wording
from apps.webcam.window import Window
from sdk._internal.progress import Progress
from sdk.application import load_grounder, refuse_overwriting, report_errors
from sdk.outputs.display import require_display
from sdk.outputs.drawing import draw
from sdk.streaming.stream import Stream
from sdk.streaming.tracking import Tracking

MOST_WH = (1280, 800)
"""Of the window, when it opens."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Find what a phrase describes in a camera, a video, a stream or pictures. "
        "In the window: Tab types other phrases, H shows all keys, and there are buttons for them."
    )
    parser.add_argument(
        "--source",
        default="0",
        help="camera index, video file, RTSP or HTTP URL, picture or folder (default: camera 0)",
    )
    parser.add_argument("--headless", action="store_true", help="no window; needs --output")
    parser.add_argument("--output", metavar="FILE", help="annotated video to write, as out.mp4")
    args = parse(parser, argv)
    if args.headless and not args.output:
        parser.error("--headless shows nothing: say where to write the video, --output out.mp4")
    return report_errors(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    if not args.headless:
        require_display()
    if args.output:
        refuse_overwriting(args.source, args.output)
    grounder = load_grounder(args)
    tracking = {None: "auto", True: Tracking(), False: None}[args.tracking]
    with grounder.stream(args.source, args.phrase, tracking=tracking, detail=args.detail) as stream:
        source = stream.source
        assert source is not None  # as of everything that is opened by its name
        meter = Meter(source.live, args.max_frames)
        # Ctrl-C is the usual way to end a camera.
        with suppress(KeyboardInterrupt), ended_by_sigterm(), Recorder(source) as recorder:
            if args.output:
                recorder.start(args.output)
            if args.headless:
                record_all(stream, meter, recorder)
            else:
                watch(args, stream, meter, recorder)
    print(meter.summary() + "".join(f", wrote {path}" for path in recorder.written))


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM, by which services are ended, does what Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def watch(args: argparse.Namespace, stream: Stream, meter: Meter, recorder: Recorder) -> None:
    """Show the stream in a window until the user quits."""
    assert stream.source is not None
    manifest = stream.grounder.manifest
    wording = Wording.load(Path(args.bundle), manifest.tokenizer)
    controls = Controls(
        args.phrase, tracking=stream.tracking is not None, recording=bool(args.output)
    )
    with (
        Window("grounder", window_wh(stream.source.size_wh, MOST_WH)) as window,
        PrecisionSwitch(args, stream.grounder, controls.say) as switch,
    ):
        Session(stream, window, controls, meter, recorder, switch, wording).run()


def record_all(stream: Stream, meter: Meter, recorder: Recorder) -> None:
    """Write every frame until the source ends."""
    with Progress("frames", meter.max_frames) as progress:
        for seen in islice(stream, meter.max_frames):
            meter.add(seen)
            image = draw(seen.frame, seen.results, header=[meter.text()])
            recorder.write(image, time.perf_counter())
            progress.advance()


if __name__ == "__main__":
    sys.exit(main())
