"""The picture of a run: loss terms and validation accuracy over the steps."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from train.runlog import ACCURACY, LOSS, RunLog


def plot_run(folder: Path) -> Path:
    """Draw `loss.csv` and `accuracy.csv` of a run into `curves.png`; returns its path."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    log = RunLog(folder)
    loss = log.columns(LOSS)
    for name, values in loss.items():
        if name != "step":
            left.plot(loss["step"], values, label=name, linewidth=2 if name == "total" else 1)
    left.set(xlabel="step", ylabel="loss", yscale="log")
    if loss:
        left.legend()
    accuracy = log.columns(ACCURACY)
    right.plot(accuracy["step"], accuracy["accuracy"], marker="o")
    right.set(xlabel="step", ylabel="Acc@0.5 on val, single-box phrases (%)")
    right.grid(alpha=0.3)
    path = folder / "curves.png"
    figure.savefig(path, dpi=120)
    return path
