"""`grounder doctor`: what this machine has, what a bundle runs on here, what is missing.

    grounder doctor [BUNDLE] [--precision fp16] [--engines FOLDER] [--json]

The options of `Grounder.load` are those of `grounder ground`: the report says what runs with them.
"""

import argparse
import dataclasses
import json
import shlex
import sys
import warnings
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdk.application import add_bundle, add_runtime_options, load_grounder
from sdk.backends.tensorrt.library import TENSORRT, TENSORRT_RTX
from sdk.diagnostics.probes import Finding, imported, machine_findings, problem, tried
from sdk.errors import DependencyError, EngineError, GroundingError, PhraseError

if TYPE_CHECKING:
    from sdk.grounder import Grounder

REQUIRED = ("numpy", "opencv", "onnxruntime")
MARKS = {"ok": "ok", "absent": "-", "missing": "MISSING", "problem": "PROBLEM"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_bundle(parser, "bundle", nargs="?")
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> None:
    """Print the report. Raises GroundingError when the bundle cannot run here."""
    with redirect_stdout(sys.stderr):  # some libraries print when they do not import
        findings, failure = examine(args)
    wrong = (found for found in findings.values() if found.status in ("missing", "problem"))
    todo = list(dict.fromkeys(found.fix or found.text for found in wrong))
    if args.json:
        checks = {
            name: {"status": found.status, "text": found.text, "fix": found.fix, **found.details}
            for name, found in findings.items()
        }
        print(json.dumps({"ready": failure is None, "checks": checks, "todo": todo}))
    else:
        for name, found in findings.items():
            hint = f" (optional: {found.fix})" if found.status == "absent" and found.fix else ""
            print(f"{MARKS[found.status]:8s} {name:13s} {found.text}{hint}")
        print("\nto do:" if todo else "\nnothing to do")
        for number, line in enumerate(todo, 1):
            print(f"  {number}. {line}")
    if failure:
        raise failure


def examine(args: argparse.Namespace) -> tuple[dict[str, Finding], GroundingError | None]:
    """All findings by name, and why the bundle cannot run here as asked: None when it can."""
    findings = machine_findings()
    if findings["numpy"].status != "ok":  # the others fail for want of it
        for name, found in findings.items():
            if "does not import" in found.text:
                findings[name] = replace(found, fix=findings["numpy"].fix)
    runtime = imported("sdk.grounder")
    if isinstance(runtime, ImportError):  # a package it needs does, and has its line by now
        fixes = (findings[name].fix for name in REQUIRED if findings[name].status != "ok")
        fix = next(fixes, "")
        findings["bundle"] = Finding("problem", f"cannot be loaded: {runtime}", fix)
        return findings, DependencyError(f"{runtime}. Fix: {fix or 'install grounder again'}")
    findings["files"] = tried(lambda: _files(args.bundle))
    findings["engines"] = tried(lambda: _engines(args))
    try:
        findings |= _try_bundle(args)
    except Exception as error:
        findings["bundle"] = found = problem(error)
        return findings, error if isinstance(error, GroundingError) else GroundingError(found.text)
    return findings, None


def _files(bundle: str | Path) -> Finding:
    from sdk.bundle.manifest import Manifest

    folder = Path(bundle)
    Manifest.load(folder).verify(folder)
    return Finding("ok", f"{folder}: every file has the size and hash the manifest says")


def _engines(args: argparse.Namespace) -> Finding:
    """What would run on TensorRT, whatever the device that was asked for."""
    from sdk.backends.tensorrt.library import cuda_device, load_library

    what = f"the engines in {args.engines}" if args.engines else "compiled graphs"
    if cuda_device() is None:
        return Finding("absent", f"no GPU to run {what} on")
    named = args.device in (TENSORRT, TENSORRT_RTX)
    try:
        device = load_library(args.device if named else None).name
    except DependencyError:
        return Finding("absent", f"no TensorRT to run {what} with")
    try:
        grounder = load_grounder(argparse.Namespace(**{**vars(args), "device": device}))
    except EngineError as error:
        command = ["grounder", "compile", str(args.bundle)]
        command += ["--precision", args.precision] if args.precision != "auto" else []
        command += ["--engines", args.engines] if args.engines else []
        command += ["--library", device] if named else []
        return Finding("missing", str(error), shlex.join(command))
    return Finding("ok", f"with device {device!r}: {_graphs(grounder)}")


def _graphs(grounder: "Grounder") -> str:
    """As "vision cpu fp32, text cpu int8, fusion cpu fp32"."""
    graphs = grounder.info.graphs.items()
    return ", ".join(f"{name} {one.device} {one.precision}" for name, one in graphs)


def _try_bundle(args: argparse.Namespace) -> dict[str, Finding]:
    """Load as asked, and ask a question: a provider that lists may still not run."""
    import numpy as np

    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        grounder = load_grounder(args)
        view = grounder.encode(np.zeros((480, 640, 3), np.uint8))
        with suppress(PhraseError):  # a vocabulary of another language
            view.ground("the person on the left")
    info = grounder.info
    text = f"{info.name}, {info.bytes / 1e6:.1f} MB, answers with {_graphs(grounder)}"
    findings = {"bundle": Finding("ok", text, details=dataclasses.asdict(info))}
    fallbacks = [str(one.message) for one in complaints if one.category is RuntimeWarning]
    if fallbacks:
        findings["fallback"] = Finding("problem", " ".join(dict.fromkeys(fallbacks)))
    return findings
