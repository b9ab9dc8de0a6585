"""Which vision encoders INT8 speeds up: `python -m benchmarks.int8_encoders`.

Encoders of the default's form, neck, second neck and detection head behind another body, with
random weights, which cost what trained ones cost. Each graph is timed in FP32 and in the CPU
target's INT8, in turn. The bodies of EfficientNet-Lite come from the package `timm`, which nothing
else needs. The figures go to benchmarks/results/int8_encoders.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.markdown import table
from benchmarks.record import ROOT, percentiles, save
from export.quantize import Calibrated
from sdk.backends.select import open_session
from sdk.backends.timing import interleaved_ms
from sdk.errors import DependencyError
from train.commands import report_errors
from train.encoders.esnet import NECK, ESNet, SecondNeck, SqueezeExcite, conv
from train.fusion.detections import DetectionHead
from train.provenance import describe

SIDE, SESSIONS = 320, 5
LITE = {
    "EfficientNet-Lite0": "tf_efficientnet_lite0",
    "EfficientNet-Lite2": "tf_efficientnet_lite2",
}
PLAIN = "ReLU6, no squeeze-and-excite"


class Encoder(nn.Module):
    """A body of strides 8, 16 and 32 and what reads it: (1, 3, SIDE, SIDE) -> all of their maps."""

    def __init__(self, body: nn.Module | None = None, widths: Sequence[int] = ()) -> None:
        super().__init__()
        self.net, self.head, self.body = ESNet(), DetectionHead(), body
        neck = self.net.neck
        if body is not None:
            neck.lateral3, neck.lateral4, neck.lateral5 = (conv(w, NECK) for w in widths)
        self.second_neck = SecondNeck(neck)

    def forward(self, image: Tensor) -> list[Tensor]:
        if self.body is None:
            maps = self.net(image)
            c4, c5, p3, p4, p5, n5 = (maps[name] for name in ("c4", "c5", "p3", "p4", "p5", "n5"))
        else:
            c3, c4, c5 = self.body(image)
            p3, p4, p5, n5 = self.net.neck(c3, c4, c5)
        levels = self.head.predict_levels([p3, p4, p5, n5])
        return [*self.second_neck(c4, c5, p3), *(each for level in levels for each in level)]


def plain(module: nn.Module) -> None:
    """ReLU6 for hard-swish, and nothing for squeeze-and-excite, in all of `module`."""
    for name, child in module.named_children():
        if isinstance(child, nn.Hardswish):
            setattr(module, name, nn.ReLU6())
        elif isinstance(child, SqueezeExcite):
            setattr(module, name, nn.Identity())
        else:
            plain(child)


def encoders() -> Iterator[tuple[str, Encoder]]:
    """Encoders by name, the default's first."""
    import timm

    yield "ESNet, as in the default", Encoder()
    variant = Encoder()
    plain(variant)
    yield f"ESNet, {PLAIN}", variant
    for name, known in LITE.items():
        body = timm.create_model(known, features_only=True, out_indices=(2, 3, 4))
        lite = Encoder(body, body.feature_info.channels())
        plain(lite)
        yield f"{name}, {PLAIN}", lite


def write_graphs(encoder: Encoder, folder: Path) -> list[Path]:
    """`encoder` in FP32 and in INT8, in a new folder."""
    folder.mkdir()
    paths = [folder / "fp32.onnx", folder / "int8.onnx"]
    images = np.random.default_rng(0).normal(size=(4, 1, 3, SIDE, SIDE)).astype(np.float32)
    example = (torch.from_numpy(images[0]),)
    with torch.no_grad():
        program = torch.onnx.export(
            encoder.eval(), example, dynamo=True, input_names=["image"], verbose=False
        )
    assert program is not None
    program.save(paths[0])
    Calibrated(paths[0], ({"image": image} for image in images)).write("static", paths[1])
    return paths


def times(
    graphs: Mapping[str, Sequence[Path]], threads: int | None, rounds: int
) -> dict[str, NDArray[np.float64]]:
    """Milliseconds (2, SESSIONS * rounds) of each encoder's two graphs.

    Where a session's memory lies makes a graph up to a half slower: each is opened SESSIONS times.
    """
    image = {"image": np.zeros((1, 3, SIDE, SIDE), np.float32)}
    taken: dict[str, list[NDArray[np.float64]]] = {name: [] for name in graphs}
    for _ in range(SESSIONS):
        for name, paths in graphs.items():
            sessions = [open_session(path, "cpu", threads) for path in paths]
            taken[name].append(interleaved_ms(sessions, image, rounds))
    return {name: np.concatenate(parts, axis=1) for name, parts in taken.items()}


@report_errors(OSError)
def main() -> None:
    """Print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, help="CPU threads of a graph")
    parser.add_argument("--rounds", type=int, default=40, help="turns of each session")
    parser.add_argument("--note", default="", help="what is to be known of this run")
    results = ROOT / "benchmarks/results/int8_encoders.json"
    parser.add_argument("--json", type=Path, default=results, help="file to write")
    args = parser.parse_args()
    if find_spec("timm") is None:
        raise DependencyError("timm is not installed: pip install timm")
    record, rows = {}, []
    with TemporaryDirectory() as folder:
        graphs = {name: write_graphs(encoder, Path(folder) / name) for name, encoder in encoders()}
        taken = times(graphs, args.threads, args.rounds)
        sizes = {name: [path.stat().st_size for path in paths] for name, paths in graphs.items()}
    for name, (fp32, int8) in taken.items():
        ratio = float(np.median(fp32) / np.median(int8))
        record[name] = {
            "fp32_ms": percentiles(fp32, (10, 50, 90)),
            "int8_ms": percentiles(int8, (10, 50, 90)),
            "fp32_over_int8": round(ratio, 2),
            "bytes": dict(zip(("fp32", "int8"), sizes[name], strict=True)),
        }
        middle = (f"{np.median(each):.1f}" for each in (fp32, int8))
        rows.append([name, *middle, f"{ratio:.2f}"])
    print(table(["encoder", "FP32, ms", "INT8, ms", "FP32 / INT8"], rows))
    settings = {"threads": args.threads, "sessions": SESSIONS, "rounds": args.rounds}
    about = {"machine": describe(), "note": args.note, "settings": settings}
    save(args.json, {**about, "encoders": record})


if __name__ == "__main__":
    sys.exit(main())
