"""The record of a benchmark run: printed, written, read back, compared with another.

A time has changed when the middle halves of the two runs' samples do not overlap.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdk._internal.files import replace_file
from sdk.errors import GroundingError

FORMAT = 1
CONTEXT = ("machine", "versions", "bundle", "settings")
"""What must be equal for two runs to be compared like with like."""


def report(record: Mapping[str, Any]) -> list[str]:
    """A record of `sdk.diagnostics.benchmark.measure` as lines to print."""
    here, bundle, settings = record["machine"], record["bundle"], record["settings"]
    rates, memory, counts = record["per_second"], record["memory_mib"], settings["phrases"]
    graphs = ", ".join(f"{n} {g['device']} {g['precision']}" for n, g in bundle["graphs"].items())
    parts = [here["cpu"], *here["gpus"], here["power_mode"], f"threads {settings['threads']}"]
    lines = [
        f"{bundle['name']} {bundle['precision']} ({graphs}), manifest {bundle['sha256'][:12]}",
        ", ".join(filter(None, parts)),
        ", ".join(f"{name} {version}" for name, version in record["versions"].items()),
    ]
    busy = (record["load_average"] or 0) - settings["threads"]
    if busy > 1:
        lines.append(f"other programs run here, about {busy:.0f} at a time: expect worse figures")
    lines += ["", f"{'milliseconds':30s}{'p50':>10s}{'p90':>10s}{'p99':>10s}"]
    for name, row in record["milliseconds"].items():
        lines.append(f"{name:30s}{row['p50']:10.2f}{row['p90']:10.2f}{row['p99']:10.2f}")
    mib = {when: _shown(value, 0) for when, value in memory.items()}
    built = record["accuracy"]
    return [
        *lines,
        "",
        f"{rates['frames']:.1f} frames/s with {some_phrases(counts[0])} on each, "
        f"{rates['phrases']:.1f} phrases/s with {counts[-1]}",
        f"memory, MiB: {mib['before']} before loading, {mib['loaded']} after the first answer, "
        f"{mib['end']} at the end, {mib['peak']} at most",
        f"of this precision the bundle's build says: Acc@0.5 {_shown(built['accuracy'], 1)}, "
        f"box IoU to FP32 {_shown(built['box_iou_to_fp32'], 3)}, "
        f"score drift {_shown(built['score_drift'], 3)}",
    ]


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Lines: what the two runs differ in, each figure's change, and how many are beyond noise.

    Both are records of `benchmark.measure`. Figures that only one of them has are left out.
    """
    lines = [
        f"not alike, {section} {key}: {before[section].get(key)} -> {value}"
        for section in CONTEXT
        for key, value in after[section].items()
        if before[section].get(key) != value
    ]
    changed = 0
    for name, new in after["milliseconds"].items():
        old = before["milliseconds"].get(name)
        if old is None:
            continue
        apart = new["q25"] > old["q75"] or new["q75"] < old["q25"]
        changed += apart
        verdict = ("slower" if new["p50"] > old["p50"] else "faster") if apart else ""
        lines.append(_change(name, old["p50"], new["p50"], verdict))
    for group, label in (("per_second", "{} per second"), ("memory_mib", "memory {}, MiB")):
        for name, value in after[group].items():
            past = before[group].get(name)
            if value is not None and past is not None:
                lines.append(_change(label.format(name), past, value))
    return [*lines, f"{changed} of the times changed" if changed else "no change beyond the noise"]


def some_phrases(number: int) -> str:
    """As "1 phrase", "10 phrases"."""
    return f"{number} phrase{'' if number == 1 else 's'}"


def _shown(value: float | None, digits: int) -> str:
    return "unknown" if value is None else f"{value:.{digits}f}"


def _change(name: str, old: float, new: float, verdict: str = "") -> str:
    return f"{name:30s}{old:10.2f}{new:10.2f}{100 * (new / old - 1):+8.1f}%  {verdict}".rstrip()


def read_record(path: Path) -> dict[str, Any]:
    """A record that `grounder bench --json` wrote.

    Raises:
        GroundingError: the file cannot be read, or is something else.
    """
    expected = f"expected figures that this version's grounder bench --json wrote in {path}"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GroundingError(f"{expected}: {error}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise GroundingError(f"{expected}, got something else; measure it again")
    return record


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write JSON, replacing an old file in one step.

    Raises:
        GroundingError: the file cannot be written.
    """
    try:
        replace_file(path, (json.dumps(record, indent=1) + "\n").encode())
    except OSError as error:
        raise GroundingError(f"cannot write {path}: {error}") from error
