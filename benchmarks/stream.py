"""A stream with and without tracking, on a video of known motion: `python -m benchmarks.stream`.

A photo of the demo, or with GROUNDER_DATA one of Flickr30k Entities' validation photos and a phrase
of it, is panned and zoomed at `--size` and comes at a camera's pace; the consumer draws every
result. To benchmarks/results/stream.json go, per mode:

    display FPS, groundings per second, latency from the frame's reading to the consumer
    iou       of every result that was not set by a grounding to the grounding of its own frame
    flips     changes of `found`, per 1,000 results
    jitter    of the box from result to result, in pixels, the camera's motion taken out
    memory    growth of the resident memory after the first tenth
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.record import ROOT, percentiles, save
from sdk import Grounder, Grounding, GroundingError, draw
from sdk.application import report_errors
from sdk.frame_view import FrameView
from sdk.geometry.boxes import iou_xyxy
from sdk.inputs.frames import FrameLike, as_bgr
from sdk.streaming.tracking import Tracker, Tracking
from train.provenance import describe

Frame = NDArray[np.uint8]
LOOP = 180
MODES: dict[str, Tracking | None] = {"without tracking": None, "with tracking": Tracking()}


class CountingGrounder(Grounder):
    """Counts its groundings, of which a stream shows only those that were believed."""

    groundings = 0

    def encode(self, frame: FrameLike, *, detail: int = 1) -> FrameView:
        self.groundings += 1
        return super().encode(frame, detail=detail)


class Video:
    """A photo under a camera that pans and zooms and is back after LOOP frames."""

    def __init__(self, photo: Frame, size_wh: tuple[int, int]) -> None:
        height, width = photo.shape[:2]
        fit = max(size_wh[0] / width, size_wh[1] / height)
        turns = np.arange(LOOP) * 2 * np.pi / LOOP
        self.scales = fit * (1.25 + 0.1 * np.sin(turns))
        self.size_wh = size_wh
        spare = self.scales[:, None] * (width, height) - np.array(size_wh)
        self.corners = spare * (0.5 + 0.4 * np.stack([np.sin(turns), np.cos(2 * turns)], axis=1))
        self.frames = [
            cv2.warpAffine(photo, np.array([[s, 0, -x], [0, s, -y]]), size_wh, flags=cv2.INTER_AREA)
            for s, (x, y) in zip(self.scales, self.corners, strict=True)
        ]

    def play(self, number: int, fps: float) -> Iterator[Frame]:
        """`number` frames, on time: a reader who is late gets the next ones at once."""
        started = time.perf_counter()
        for index in range(number):
            time.sleep(max(0.0, started + index / fps - time.perf_counter()))
            yield self.frames[index % LOOP]

    def still(self, number: int, box: NDArray[np.float64]) -> NDArray[np.float64]:
        """(4,) box of frame `number` on the photo at its mean size: of a still object, constant."""
        place = (box.reshape(2, 2) + self.corners[number % LOOP]).ravel()
        return np.asarray(place / self.scales[number % LOOP] * self.scales.mean())


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", help="bundle folder; the shipped default if left out")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--frames", type=int, default=20_000, help="of the camera, per mode")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 480), help="width and height")
    parser.add_argument("--detail", type=int, default=1, help="as of `Grounder.ground`")
    parser.add_argument("--fps", type=float, default=75.0, help="of the camera")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/stream.json")
    args = parser.parse_args()
    return report_errors(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    """Print the figures, write the JSON. Raises GroundingError."""
    grounder = CountingGrounder.load(
        args.bundle, device=args.device, precision=args.precision, threads=args.threads
    )
    photo, phrase = subject()
    video = Video(photo, (args.size[0], args.size[1]))
    every_frame = [grounder.ground(frame, phrase, detail=args.detail) for frame in video.frames]
    record = {
        "machine": describe(),
        "settings": {
            "frames": args.frames,
            "camera_fps": args.fps,
            "size_wh": args.size,
            "detail": args.detail,
            "threads": args.threads,
            "phrase": phrase,
            "bundle": grounder.info.name,
        },
        "tracker_ms": {boxes: tracker_ms(video, boxes) for boxes in (1, 5, 20)},
        "every frame grounded": steadiness(
            video,
            np.array([result.box for result in every_frame]),
            np.array([int(result.found) for result in every_frame]),
        ),
    }
    print(json.dumps({key: record[key] for key in record if key != "machine"}, indent=1))
    for mode, tracking in MODES.items():
        record[mode] = measure(grounder, video, args, phrase, tracking, every_frame)
        print(mode, json.dumps(record[mode], indent=1), flush=True)
    save(args.json, record)


def subject() -> tuple[Frame, str]:
    """A photo and a phrase for something in it."""
    root = os.environ.get("GROUNDER_DATA")
    if not root:
        return as_bgr(ROOT / "apps/assets/coffee.jpg"), "the cup"
    folder = Path(root) / "flickr30k_entities"
    with (folder / "val.jsonl").open(encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            for one in record["phrases"]:
                if len(one["boxes"]) == 1 and "people" in one["types"]:
                    return as_bgr(folder / "images" / record["image"]), one["phrase"]
    raise GroundingError(f"expected a phrase for one person in {folder / 'val.jsonl'}, got none")


def measure(
    grounder: CountingGrounder,
    video: Video,
    settings: argparse.Namespace,
    phrase: str,
    tracking: Tracking | None,
    every_frame: list[Grounding],
) -> dict[str, Any]:
    """One mode's figures."""
    # Filled beforehand, so that what the benchmark keeps is no growth of the stream's memory.
    log = np.full((settings.frames, 3), np.nan)  # latency in ms, IoU if carried, resident MiB
    boxes, found = np.full((settings.frames, 4), np.nan), np.full(settings.frames, -1)
    frames = video.play(settings.frames, settings.fps)
    grounder.groundings = 0
    with grounder.stream(
        frames, phrase, policy="newest", tracking=tracking, detail=settings.detail
    ) as stream:
        started = time.perf_counter()
        for got in stream:
            (result,) = got.results
            draw(got.frame, got.results)
            log[got.number, 0] = 1000 * got.latency
            boxes[got.number], found[got.number] = result.box, result.found
            if not got.fresh[0]:
                reference = every_frame[got.number % LOOP].box
                log[got.number, 1] = iou_xyxy([result.box], [reference])[0, 0]
            if got.number % 50 < 5:
                log[got.number, 2] = psutil.Process().memory_info().rss / 2**20
        seconds = time.perf_counter() - started
    latencies, carried, memory = (column[~np.isnan(column)] for column in log.T)
    warm = memory[len(memory) // 10 :]
    return {
        "seconds": round(seconds, 1),
        "display_fps": round(len(latencies) / seconds, 1),
        "groundings_per_second": round(grounder.groundings / seconds, 1),
        "latency_ms": percentiles(latencies, (50, 95, 99)),
        "carried": len(carried),
        "iou_of_carried": percentiles(carried, (5, 50)),
        "memory_growth_mib": round(float(warm.max() - warm[0]), 2),
        **steadiness(video, boxes, found),
    }


def steadiness(
    video: Video, boxes: NDArray[np.float64], found: NDArray[np.int64]
) -> dict[str, Any]:
    """How often `found` changes, and how far the box moves, from one result to the next.

    `found`: per frame 1, 0 or, where there is no result, -1.
    """
    numbers = np.flatnonzero(found >= 0)
    still = np.array([video.still(number, boxes[number]) for number in numbers])
    steps = np.abs(np.diff(still, axis=0)).max(axis=1)
    both = (found[numbers][1:] == 1) & (found[numbers][:-1] == 1)
    return {
        "found": round(float((found[numbers] == 1).mean()), 3),
        "flips_per_1000": round(1000 * float((np.diff(found[numbers]) != 0).mean()), 2),
        "jitter_px": percentiles(steps[both], (50, 95)),
    }


def tracker_ms(video: Video, boxes: int) -> float:
    """Median time of `Tracker.advance` on one thread, boxes of a quarter of the frame's sides."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    tracker, times = Tracker(0.5, Tracking()), []
    side = np.array(video.size_wh) / 4
    for index, frame in enumerate(video.frames):
        if index % 10 == 0:  # boxes drift out of the frame
            tracker.advance(frame)
            tracker.mark()
            lefts = rng.uniform(side / 2, 2.5 * side, (boxes, 2))
            tracker.update(
                [
                    Grounding(str(n), (x, y, x + side[0], y + side[1]), 1.0, True)
                    for n, (x, y) in enumerate(lefts.tolist())
                ]
            )
            continue
        started = time.perf_counter()
        tracker.advance(frame)
        times.append(1000 * (time.perf_counter() - started))
    cv2.setNumThreads(threads)
    return round(float(np.median(times)), 2)


if __name__ == "__main__":
    sys.exit(main())
