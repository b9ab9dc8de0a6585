"""What `make demo` runs: phrases grounded in photos and in a short video, without a display."""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

if __name__ == "__main__":  # started as a file: the repository is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

import sdk
from apps.video_file import VideoFile
from sdk._internal.opencv import cv2
from sdk.application import add_model_options, load_grounder, report_errors, summary
from sdk.errors import GroundingError
from sdk.grounder import Grounder
from sdk.inputs.frames import as_bgr
from sdk.outputs.drawing import draw, write_image

ASSETS = Path(__file__).parent / "assets"

# What a person would ask of each photo; the last phrase names something that is not in it.
PHOTOS = {
    "astronaut.jpg": ("the woman", "the orange suit", "the flag on the left", "a dog"),
    "cat.jpg": ("the cat", "the cat's left eye", "a dog"),
    "moose.jpg": ("the moose", "the grass", "a dog"),
    "coffee.jpg": ("the cup", "the spoon", "the saucer", "a laptop"),
    "stairs.jpg": ("the man", "all stairs", "a red bus"),
    "bridge.jpg": ("the bridge", "the water", "a bicycle"),
}
VIDEO_STRIP = ("astronaut.jpg", "cat.jpg")
VIDEO_PHRASES = ["the orange suit", "the cat"]
VIDEO_WH, VIDEO_FPS, VIDEO_SECONDS = (640, 480), 25, 6


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", default="demo_output", metavar="FOLDER", help="where to write")
    add_model_options(parser)
    args = parser.parse_args(argv)
    return report_errors(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    folder = Path(args.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GroundingError(f"cannot write to {args.output!r}: {error.strerror}") from error
    grounder = load_grounder(args)
    info = grounder.info
    print(
        f"grounder {sdk.__version__}, bundle {info.name!r} ({info.bytes / 1e6:.1f} MB, "
        f"{info.precision}) on {info.device}\n"
    )
    widest = max(len(phrase) for phrases in PHOTOS.values() for phrase in phrases)
    print(f"{'':<{widest}}    {'ms':>5}  score   left    top  right bottom")
    for name, phrases in PHOTOS.items():
        ground_photo(grounder, ASSETS / name, phrases, folder / name, widest)
    ground_video(grounder, folder / "video.mp4")
    print(f"\nPictures with their boxes and the video are in {folder}/")


def ground_photo(
    grounder: Grounder, photo: Path, phrases: Sequence[str], output: Path, widest: int
) -> None:
    """Print one line per phrase, and write the photo with the boxes drawn."""
    frame = as_bgr(photo)
    grounder.ground(frame, phrases)  # so that the times below are those of a running application
    started = time.perf_counter()
    view = grounder.encode(frame)
    print(f"{photo.name + ', new frame':<{widest}}    {_ms_since(started):5.1f}")
    results = []
    for phrase in phrases:
        started = time.perf_counter()
        results.append(view.ground(phrase))
        print(f"  {phrase:<{widest}}  {_ms_since(started):5.1f}   {summary(results[-1])}")
    write_image(output, draw(frame, results))


def ground_video(grounder: Grounder, output: Path) -> None:
    """Ground the same phrases in every frame, tracked; print the median time."""
    times = []
    with (
        VideoFile(output, VIDEO_FPS, VIDEO_WH) as video,
        grounder.stream(camera_move(), VIDEO_PHRASES, policy="all") as stream,
    ):
        for seen in stream:
            times.append(1000 * seen.inference)
            status = f"{statistics.median(times[-VIDEO_FPS:]):.0f} ms"
            video.write(draw(seen.frame, seen.results, header=[status]))
    print(
        f"\n{output.name}: {len(times)} frames, {len(VIDEO_PHRASES)} phrases each, "
        f"median {statistics.median(times):.1f} ms a grounding"
    )


def camera_move() -> Iterator[NDArray[np.uint8]]:
    """Frames of a camera that pans over photos hung side by side, nearing them a little midway.

    Rendered instead of shipped: the repository carries no video, and what is in view is known.
    """
    width, height = VIDEO_WH
    photos = [as_bgr(ASSETS / name) for name in VIDEO_STRIP]
    sizes = [(round(photo.shape[1] * height / photo.shape[0]), height) for photo in photos]
    strip = np.hstack([cv2.resize(photo, size) for photo, size in zip(photos, sizes, strict=True)])
    for time_ in np.linspace(0, 1, VIDEO_FPS * VIDEO_SECONDS):
        pan = time_ * time_ * (3 - 2 * time_)  # smoothstep: starts and stops gently
        zoom = 1 + 0.15 * np.sin(np.pi * time_)
        left = pan * (strip.shape[1] - width / zoom)
        top = (height - height / zoom) / 2
        to_frame = np.array([[zoom, 0, -left * zoom], [0, zoom, -top * zoom]])
        frame = cv2.warpAffine(strip, to_frame, VIDEO_WH, borderMode=cv2.BORDER_REPLICATE)
        yield np.asarray(frame, np.uint8)


def _ms_since(started: float) -> float:
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
