"""The picture of a run: loss terms and validation accuracy over the steps."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from train.runlog import ACCURACY, LOSS


def read_columns(path: Path) -> dict[str, list[float]]:
    """Columns of a numeric CSV file; none if a short run wrote no row."""
    if not path.is_file():
        return {}
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {key: [float(row[key]) for row in rows] for key in rows[0]} if rows else {}


def plot_run(folder: Path) -> Path:
    """Draw `loss.csv` and `accuracy.csv` of a run into `curves.png`; returns its path."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    loss = read_columns(folder / LOSS)
    for name, values in loss.items():
        if name != "step":
            left.plot(loss["step"], values, label=name, linewidth=2 if name == "total" else 1)
    left.set(xlabel="step", ylabel="loss", yscale="log")
    if loss:
        left.legend()
    accuracy = read_columns(folder / ACCURACY)
    right.plot(accuracy["step"], accuracy["accuracy"], marker="o")
    right.set(xlabel="step", ylabel="Acc@0.5 on val, single-box phrases (%)")
    right.grid(alpha=0.3)
    path = folder / "curves.png"
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path
