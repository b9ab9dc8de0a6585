"""The build, step by step.

    checkpoint ─> FP32 graphs ─ parity ─> INT8 candidates ─ gate ─> bundle ─ calibration ─> --out

Everything happens in a temporary folder beside the target, which is renamed at the very end.
"""

from __future__ import annotations

import dataclasses
import math
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime

from export.bundle import GraphPaths, publish, staging, write_bundle
from export.calibrate import IDENTITY, CalibrationError, calibrate, threshold_for
from export.gate import (
    GateError,
    GraphFigures,
    fastest_that_holds,
    holds,
    is_faster,
    judged,
    measure_graphs,
)
from export.graphs import export_graphs
from export.measure import Answers, Recorder, ask, median_box_iou, score_drift
from export.parity import Case, check_parity, make_cases
from export.plan import Inputs, Plan
from export.quantize import RECIPES, quantize
from export.tables import print_graphs, print_precisions
from sdk import Grounder
from sdk.backends.ort import physical_cores
from sdk.contract import FUSION, TEXT, VISION
from sdk.manifest import Manifest
from train.build import preprocess_for
from train.evaluate import report
from train.evaluator import accuracy, bundle_predict, evaluate


def build(plan: Plan, inputs: Inputs) -> Manifest:
    """Build the bundle at `plan.out` and print what was measured.

    Raises:
        ParityError: an exported graph is not the model. Nothing is left in `plan.out`.
        GateError: the INT8 text graph loses too much. Likewise.
        GroundingError: the runtime cannot run a graph. Likewise.
    """
    with staging(plan.out) as folder:
        run = _Build(plan, inputs, folder)
        _say("exporting the graphs")
        fp32 = run.export()
        _say("quantising")
        files = run.quantize(fp32)
        _say("measuring the graphs")
        run.gate(files)
        print_graphs(run.figures)
        _say("calibrating the scores")
        run.assemble()
        run.calibrate()
        _say("measuring the precisions")
        run.measure()
        publish(run.bundle, plan.out)
    print_precisions(run.manifest)
    return run.manifest


def _say(step: str) -> None:
    print(f"-- {step}", flush=True)


class _Build:
    """One run of a plan; the methods are its steps, in their order."""

    cases: list[Case]
    reference: Answers
    """Of the all-FP32 model."""
    shipped: dict[str, dict[str, GraphFigures]]
    """Graph -> "fp32" or "int8" -> the file in the bundle."""
    manifest: Manifest

    def __init__(self, plan: Plan, inputs: Inputs, folder: Path) -> None:
        self.plan, self.inputs = plan, inputs
        self.work, self.candidates = folder / "work", folder / "candidates"
        self.bundle = folder / "bundle"
        self.work.mkdir()
        self.figures: dict[str, dict[str, GraphFigures]] = {}
        """Graph -> "fp32" or recipe -> what was measured."""

    def export(self) -> dict[str, Path]:
        """FP32 graphs, proven to be the model."""
        model, config = self.inputs.model, self.inputs.config
        files = export_graphs(model, config, self.work)
        spec = preprocess_for(config)
        self.cases = make_cases(model, *self.inputs.samples.for_parity())
        check_parity(files, self.cases, (spec.width, spec.height))
        return files

    def quantize(self, fp32: Mapping[str, Path]) -> dict[str, dict[str, Path]]:
        """Graph -> "fp32" or recipe -> file: all that may be shipped."""
        files = {graph: {"fp32": path} for graph, path in fp32.items()}
        for graph, recipes in RECIPES.items():
            text = graph == TEXT.name
            wanted = self.plan.text_precision == "int8" if text else "int8" in self.plan.precisions
            for recipe in recipes if wanted else ():
                path = self.work / f"{graph}.{recipe}.onnx"
                quantize(recipe, fp32[graph], path, self.inputs.samples.feeds(graph, fp32))
                files[graph][recipe] = path
        return files

    def gate(self, files: Mapping[str, Mapping[str, Path]]) -> None:
        """Measure every file; ask those that may be shipped as INT8 the validation phrases.

        Text needs no gain in speed to be asked: its precision is chosen for its size.
        """
        fp32 = dict.fromkeys(files, "fp32")
        swaps = {
            f"{graph}-{kind}": fp32 | {graph: kind} for graph in files for kind in files[graph]
        }
        self._write(self.candidates, files, swaps)
        self.reference = ask(self.candidates, f"{TEXT.name}-fp32", self.inputs.questions)
        for graph, kinds in files.items():
            measured = measure_graphs(graph, kinds, self.cases)
            for kind, figures in measured.items():
                faster = is_faster(figures.milliseconds, measured["fp32"].milliseconds)
                if kind != "fp32" and (faster or graph == TEXT.name):
                    answers = ask(self.candidates, f"{graph}-{kind}", self.inputs.questions)
                    measured[kind] = judged(figures, answers, self.reference)
            self.figures[graph] = measured

    def assemble(self) -> None:
        """Write the bundle: the files that are shipped, the default precision, no calibration."""
        shipped = {graph: {"fp32": kinds["fp32"]} for graph, kinds in self.figures.items()}
        if self.plan.text_precision == "int8":
            text = fastest_that_holds(self.figures[TEXT.name])
            if text is None:
                raise GateError(
                    "every INT8 form of the text graph loses too much accuracy (see the table); "
                    "build with --text-precision fp32"
                )
            shipped[TEXT.name] = {"int8": text}
        for graph in (VISION.name, FUSION.name):
            kept = fastest_that_holds(self.figures[graph])
            if kept:
                shipped[graph]["int8"] = kept
        self.shipped = shipped
        precisions = {
            name: {g: name if name in kinds else next(iter(kinds)) for g, kinds in shipped.items()}
            for name in self.plan.precisions
        }
        files = {g: {name: f.path for name, f in kinds.items()} for g, kinds in shipped.items()}
        self.manifest = self._write(self.bundle, files, precisions)

    def calibrate(self) -> None:
        """Choose the default precision, and fit scores and threshold to its answers."""
        answers = {
            name: ask(self.bundle, name, self.inputs.questions)
            for name in self._different_precisions()
        }
        default, raw = "fp32", answers["fp32"]
        if "int8" in answers:  # every INT8 graph is faster; together they must hold as well
            lost = raw.accuracy - answers["int8"].accuracy
            if holds(lost, median_box_iou(answers["int8"].recorder, raw.recorder)):
                default, raw = "int8", answers["int8"]
        present = [outcome for outcome in raw.outcomes if outcome.expression.single]
        absent = ask(self.bundle, default, self.inputs.absent).outcomes
        try:
            calibration, threshold, figures = calibrate([*present, *absent])
        except CalibrationError as error:
            print(f"warning: scores stay uncalibrated, the validation photos gave {error}")
            calibration, threshold, figures = IDENTITY, threshold_for(present), {}
        self._save(
            default_precision=default,
            calibration=calibration,
            threshold=threshold,
            metrics=_json({"calibration": figures}),
        )

    def _different_precisions(self) -> list[str]:
        """The named precisions that do not use the very files of an earlier one."""
        used = self.manifest.precisions
        return [n for i, n in enumerate(used) if used[n] not in list(used.values())[:i]]

    def measure(self) -> None:
        """Every precision through the SDK, and all figures into the manifest."""
        precisions = {name: self._precision_figures(name) for name in self.manifest.precisions}
        graphs = {
            graph: {kind: self._graph_figures(f) for kind, f in kinds.items()}
            for graph, kinds in self.figures.items()
        }
        measured_on = {
            "cpu": platform.machine(),
            "threads": physical_cores(),
            "onnxruntime": onnxruntime.__version__,
        }
        metrics = {"precisions": precisions, "graphs": graphs, "measured_on": measured_on}
        self._save(metrics=_json({**self.manifest.metrics, **metrics}))

    def _precision_figures(self, precision: str) -> dict[str, Any]:
        manifest = self.manifest
        recorder = Recorder(
            bundle_predict(Grounder.load(self.bundle, device="cpu", precision=precision))
        )
        if self.plan.eval_photos:
            single = [o for o in evaluate(recorder, self.inputs.questions) if o.expression.single]
            accuracies = {"val_single_box": {"accuracy": accuracy(single), "phrases": len(single)}}
        else:
            accuracies = report(recorder, manifest.threshold, self.plan.data)
        chosen = [
            self.shipped[graph][kind] for graph, kind in manifest.precisions[precision].items()
        ]
        return {
            "bytes": sum(file.bytes for file in manifest.graph_files(precision).values()),
            "milliseconds": {f.graph: f.milliseconds for f in chosen},
            "box_iou_to_fp32": median_box_iou(recorder, self.reference.recorder),
            "score_drift": score_drift(recorder, self.reference.recorder, manifest.calibration),
            **accuracies,
        }

    def _graph_figures(self, figures: GraphFigures) -> dict[str, Any]:
        """A graph file's figures; `shipped` is False for what was tried and left out."""
        return {
            "shipped": figures in self.shipped[figures.graph].values(),
            "bytes": figures.path.stat().st_size,
            "milliseconds": figures.milliseconds,
            "deviation": figures.deviation,
            "points_lost": figures.points_lost,
            "box_iou": figures.box_iou,
        }

    def _save(self, **changes: Any) -> None:
        self.manifest = dataclasses.replace(self.manifest, **changes)
        self.manifest.save(self.bundle)

    def _write(
        self, folder: Path, files: GraphPaths, precisions: Mapping[str, Mapping[str, str]]
    ) -> Manifest:
        return write_bundle(folder, self.plan, self.inputs, files, precisions)


def _json(value: Any) -> Any:
    """`value` at five digits, with None for what JSON cannot say: NaN is "no such phrases"."""
    if isinstance(value, Mapping):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value
