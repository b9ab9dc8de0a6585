"""The build, step by step.

    checkpoint ─> FP32 graphs ─ parity ─> candidates ─ gate ─> bundle ─ calibration ─> --out
                                                                  └─ engines, for TensorRT

Everything happens in a temporary folder beside the target, which is renamed at the very end.
"""

from __future__ import annotations

import dataclasses
import platform
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime

from export.bundle import publish, staging, write_bundle
from export.calibrate import CalibrationError, calibrate, threshold_for
from export.engines import compile_engines
from export.gate import (
    GateError,
    GraphFigures,
    best_that_holds,
    judged,
    may_pay,
    measure_graphs,
    precisions_that_hold,
)
from export.graphs import export_graphs
from export.instances import instance_rule
from export.measure import Answered, Recorder, ask, median_box_iou, score_drift
from export.parity import Case, check_parity, make_cases
from export.plan import Inputs, Plan
from export.quantize import STATIC, Calibrated, quantize
from export.tables import print_engines, print_graphs, print_precisions
from export.teaching import background_of
from sdk import Grounder
from sdk._internal.hashing import sha256_file
from sdk.backends.ort import physical_cores
from sdk.backends.tensorrt.compile import CompiledGraph
from sdk.bundle.calibration import IDENTITY
from sdk.bundle.contract import TEXT
from sdk.bundle.manifest import Manifest
from sdk.lessons.background import FILE_NAME as TEACHING_NAME
from train.build import preprocess_for
from train.evaluate import report
from train.evaluator import accuracy, bundle_predict
from train.provenance import as_json

DIGITS = ".5g"
"""Of the figures in a manifest."""


def build(plan: Plan, inputs: Inputs) -> Manifest:
    """Build the bundle at `plan.out` and print what was measured.

    Raises:
        ParityError: an exported graph is not the model. Nothing is left in `plan.out`.
        GateError: the reduced text graph loses too much. Likewise.
        GroundingError: the runtime cannot run a graph. Likewise.
    """
    with staging(plan.out) as folder:
        run = _Build(plan, inputs, folder)
        _say("exporting the graphs")
        fp32 = run.export()
        _say("quantising")
        files = run.reduce(fp32)
        _say("measuring the graphs")
        run.gate(files)
        print_graphs(run.figures)
        _say("calibrating the scores")
        run.assemble()
        run.calibrate()
        run.prepare_teaching()
        _say("measuring the precisions")
        run.measure()
        engines = run.compile()
        publish(run.bundle, plan.out)
    print_precisions(run.manifest)
    print_engines(engines)
    return run.manifest


def _say(step: str) -> None:
    print(f"-- {step}", flush=True)


class _Build:
    """One run of a plan; the methods are its steps, in their order."""

    cases: list[Case]
    reference: Answered
    """Of the all-FP32 model."""
    shipped: dict[str, dict[str, GraphFigures]]
    """Graph -> precision -> the file in the bundle."""
    manifest: Manifest

    def __init__(self, plan: Plan, inputs: Inputs, folder: Path) -> None:
        self.plan, self.inputs = plan, inputs
        self.work, self.candidates = folder / "work", folder / "candidates"
        self.bundle = folder / "bundle"
        self.work.mkdir()
        self.left_float: dict[Path, list[str]] = {}
        """INT8 file -> layers that lose too much, and so are float in it."""
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

    def reduce(self, fp32: Mapping[str, Path]) -> dict[str, dict[str, Path]]:
        """Graph -> "fp32" or recipe -> file: all that may be shipped."""
        files = {graph: {"fp32": path} for graph, path in fp32.items()}
        calibrated: dict[str, Calibrated] = {}
        for graph, _, recipe in self.plan.candidates():
            path = self.work / f"{graph}.{recipe}.onnx"
            files[graph][recipe] = path
            if recipe not in STATIC:
                quantize(recipe, fp32[graph], path)
                continue
            if graph not in calibrated:
                calibrated[graph] = Calibrated(fp32[graph], self.inputs.samples.feeds(graph, fp32))
            floats = self.left_float[path] = calibrated[graph].write_within(recipe, path)
            if floats:
                print(f"{graph} {recipe}: float stay {', '.join(floats)}")
        return files

    def gate(self, files: Mapping[str, Mapping[str, Path]]) -> None:
        """Measure every file; ask those that may be shipped the validation questions.

        Text needs no gain in speed to be asked: its precision is chosen for its size.
        """
        fp32 = dict.fromkeys(files, "fp32")
        swaps = {
            f"{graph}-{kind}": fp32 | {graph: kind} for graph in files for kind in files[graph]
        }
        write_bundle(self.candidates, self.plan, self.inputs, files, swaps)
        self.reference = self._ask(self.candidates, f"{TEXT.name}-fp32")
        for graph, kinds in files.items():
            measured = measure_graphs(
                graph, kinds, self.cases, self.plan.target.device, self.plan.untimed_kinds()
            )
            for kind, figures in measured.items():
                if kind != "fp32" and (may_pay(figures) or graph == TEXT.name):
                    answers = self._ask(self.candidates, f"{graph}-{kind}")
                    measured[kind] = judged(figures, answers, self.reference)
            self.figures[graph] = measured

    def assemble(self) -> None:
        """Write the bundle: the files that are shipped, the default precision, no calibration."""
        shipped = {graph: {"fp32": kinds["fp32"]} for graph, kinds in self.figures.items()}
        tried: dict[tuple[str, str], list[GraphFigures]] = defaultdict(list)
        for graph, precision, recipe in self.plan.candidates():
            tried[graph, precision].append(self.figures[graph][recipe])
        for (graph, precision), candidates in tried.items():
            kept = best_that_holds(candidates)
            if kept and graph == TEXT.name:
                shipped[graph] = {precision: kept}
            elif kept:
                shipped[graph][precision] = kept
            elif graph == TEXT.name:
                raise GateError(
                    f"every {precision} form of the text graph loses too much accuracy (see the "
                    "table); build with --text-precision fp32"
                )
        self.shipped = shipped
        precisions = {
            name: {g: name if name in kinds else next(iter(kinds)) for g, kinds in shipped.items()}
            for name in self.plan.precisions
        }
        files = {g: {name: f.path for name, f in kinds.items()} for g, kinds in shipped.items()}
        self.manifest = write_bundle(self.bundle, self.plan, self.inputs, files, precisions)

    def calibrate(self) -> None:
        """Choose the default precision, and fit scores and threshold to its answers."""
        answers = {name: self._ask(self.bundle, name) for name in self._different_precisions()}
        held = precisions_that_hold(answers, self.plan.target.untimed)
        # For another device, where none is timed, the first: FP16, which every GPU gains from.
        default = min(held, key=self._milliseconds, default="fp32")
        raw = answers[default]
        present = raw.single(contrastive=False)
        device = self.plan.target.device
        others = ask(self.bundle, default, self.inputs.for_calibration, device).outcomes
        try:
            calibration, threshold, figures = calibrate([*present, *others])
        except CalibrationError as error:
            print(f"warning: scores stay uncalibrated, the validation photos gave {error}")
            calibration, threshold, figures = IDENTITY, threshold_for(present), {}
        counted = ask(self.bundle, default, self.inputs.counted, device).outcomes
        named = instance_rule([*raw.outcomes, *others, *counted])
        instance_calibration, instance_threshold, instance_figures = named
        self._save(
            default_precision=default,
            calibration=calibration,
            threshold=threshold,
            instance_calibration=instance_calibration,
            instance_threshold=instance_threshold,
            metrics=as_json({"calibration": figures, "instances": instance_figures}, DIGITS),
        )

    def prepare_teaching(self) -> None:
        """Add the file that names are taught with, where there is a detector to tell things by."""
        if self.inputs.model.detector is None:
            return
        background_of(self.bundle, self.inputs.things, self.inputs.nouns).save(self.bundle)
        sha256 = sha256_file(self.bundle / TEACHING_NAME)
        files = {**self.manifest.files, TEACHING_NAME: sha256}
        self._save(files=files, teaching_file=TEACHING_NAME)

    def _ask(self, folder: Path, precision: str) -> Answered:
        return ask(folder, precision, self.inputs.questions, self.plan.target.device)

    def _milliseconds(self, precision: str) -> float:
        chosen = self.manifest.precisions[precision].items()
        return sum(self.shipped[graph][kind].milliseconds or 0.0 for graph, kind in chosen)

    def _different_precisions(self) -> list[str]:
        """The named precisions that do not use the very files of an earlier one."""
        used = self.manifest.precisions
        return [n for i, n in enumerate(used) if used[n] not in list(used.values())[:i]]

    def measure(self) -> None:
        """Every precision through the SDK, and all figures into the manifest."""
        precisions = {name: self._precision_figures(name) for name in self.manifest.precisions}
        graphs = {
            graph: {
                kind: f.to_dict(f in self.shipped[graph].values(), self.left_float.get(f.path, []))
                for kind, f in kinds.items()
            }
            for graph, kinds in self.figures.items()
        }
        measured_on = {
            "cpu": platform.machine(),
            "threads": physical_cores(),
            "onnxruntime": onnxruntime.__version__,
        }
        metrics = {"precisions": precisions, "graphs": graphs, "measured_on": measured_on}
        self._save(metrics=as_json({**self.manifest.metrics, **metrics}, DIGITS))

    def compile(self) -> dict[str, list[CompiledGraph]]:
        """Precision -> its engines, in the bundle; none for a runtime that needs none."""
        name = self.plan.target.library
        if name is None:
            return {}
        _say(f"compiling with {name}")
        precisions = self._different_precisions()
        return compile_engines(self.bundle, precisions, name, self.inputs.questions, self.reference)

    def _precision_figures(self, precision: str) -> dict[str, Any]:
        manifest = self.manifest
        if self.plan.eval_photos:
            answers = self._ask(self.bundle, precision)
            recorder = answers.recorder
            accuracies: dict[str, Any] = {}
            for name, contrastive in (("val_single_box", False), ("val_contrastive", True)):
                outcomes = answers.single(contrastive=contrastive)
                accuracies[name] = {"accuracy": accuracy(outcomes), "phrases": len(outcomes)}
        else:
            device = self.plan.target.device
            grounder = Grounder.load(self.bundle, device=device, precision=precision)
            recorder = Recorder(bundle_predict(grounder))
            accuracies = report(recorder, manifest.threshold, self.plan.data)
        chosen = manifest.precisions[precision].items()
        milliseconds = {graph: self.shipped[graph][kind].milliseconds for graph, kind in chosen}
        return {
            "bytes": sum(file.bytes for file in manifest.graph_files(precision).values()),
            "milliseconds": milliseconds,
            "box_iou_to_fp32": median_box_iou(recorder, self.reference.recorder),
            "score_drift": score_drift(recorder, self.reference.recorder, manifest.calibration),
            **accuracies,
        }

    def _save(self, **changes: Any) -> None:
        self.manifest = dataclasses.replace(self.manifest, **changes)
        self.manifest.save(self.bundle)
