"""What was measured, as tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from export.gate import GraphFigures
from sdk.backends.tensorrt.compile import CompiledGraph
from sdk.bundle.contract import FUSION, VISION
from sdk.bundle.manifest import Manifest


def print_graphs(figures: Mapping[str, Mapping[str, GraphFigures]]) -> None:
    """One line per file that was tried, before the choice is made."""
    print(
        f"{'graph':8s} {'kind':9s} {'MB':>7s} {'ms':>8s} {'deviation':>10s} {'points lost':>12s} "
        f"{'box IoU':>8s}"
    )
    for kinds in figures.values():
        for f in kinds.values():
            megabytes = f.path.stat().st_size / 1e6
            verdict = "" if f.kind == "fp32" else f.verdict
            print(
                f"{f.graph:8s} {f.kind:9s} {megabytes:7.2f} {_or_dash(f.milliseconds):>8s} "
                f"{f.deviation:10.1e} {_or_dash(f.points_lost):>12s} {_or_dash(f.box_iou):>8s}  "
                f"{verdict}".rstrip()
            )


def print_precisions(manifest: Manifest) -> None:
    """One line per precision of the bundle, then calibration and size."""
    print(
        f"{'precision':10s} {'MB':>7s} {'frame ms':>9s} {'phrase ms':>9s} {'Acc@0.5':>8s} "
        f"{'box IoU':>8s} {'drift':>7s}  files"
    )
    for name, f in manifest.metrics["precisions"].items():
        ms = f["milliseconds"]
        files = " ".join(f"{graph}:{kind}" for graph, kind in manifest.precisions[name].items())
        default = " (default)" if name == manifest.default_precision else ""
        print(
            f"{name:10s} {f['bytes'] / 1e6:7.2f} {_or_dash(ms[VISION.name]):>9s} "
            f"{_or_dash(ms[FUSION.name]):>9s} "
            f"{_or_dash(f['val_single_box']['accuracy']):>8s} "
            f"{_or_dash(f['box_iou_to_fp32']):>8s} {f['score_drift']:7.4f}  {files}{default}"
        )
    calibration, total = (
        manifest.calibration,
        sum(file.bytes for kinds in manifest.graphs.values() for file in kinds.values()),
    )
    print(
        f"score = sigmoid({calibration.scale:.3f} * logit + {calibration.bias:.3f}), found from "
        f"{manifest.threshold:.3f}; calibration error "
        f"{_or_dash(manifest.metrics['calibration'].get('calibration_error'))} points"
    )
    print(f"all graphs together: {total / 1e6:.1f} MB")


def print_engines(engines: Mapping[str, Sequence[CompiledGraph]]) -> None:
    """One line per compiled graph, or why it was not compiled."""
    for precision, compiled in engines.items():
        for one in compiled:
            fate = f"{one.bytes / 1e6:7.2f} MB {one.seconds:6.1f} s"
            if one.refused:
                fate = f"refused: {one.refused}"
            print(f"engine {precision:5s} {one.graph:8s} {fate}")


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
