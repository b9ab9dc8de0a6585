"""docs/methods.md's tables and picture, written from the committed JSON; the prose is kept.

Everything between two marker comments of the page is replaced.
"""

from __future__ import annotations

import json
from typing import Any

from matplotlib.figure import Figure

from benchmarks.markdown import replaced, table
from benchmarks.record import ROOT

RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "methods.md"
PICTURE = ROOT / "docs" / "images" / "methods.png"


def costs(row: dict[str, Any]) -> list[str]:
    """Cells that both tables share."""
    return [
        f"{row['trained']:,}",
        f"{row['trained'] / row['total']:.1%}",
        f"{row['saved_bytes'] / 1e6:,.1f}",
        f"{row['step_ms']:,.0f}",
        f"{row['peak_bytes'] / 1e9:.2f}",
    ]


def ratios(row: dict[str, Any]) -> list[str]:
    """Bytes kept, time and peak as shares of full fine-tuning's."""
    return [f"{row['to_full'][c]:.1%}" for c in ("saved_bytes", "step_ms", "peak_bytes")]


HEAD = ["trained", "of all", "kept for backward, MB", "step, ms", "peak, GB"]
SHARES = ["kept / full", "time / full", "peak / full"]


def accuracy_table(found: dict[str, Any]) -> str:
    """Methods on the default's encoders, the most accurate first."""
    ranked = sorted(found["methods"].items(), key=lambda item: -item[1]["accuracy"])
    rows = [
        [name, reached(row), str(row["seeds"]), *costs(row), *ratios(row)] for name, row in ranked
    ]
    return table(["method", "Acc@0.5", "seeds", *HEAD, *SHARES], rows) + "\n\n" + measured(found)


def reached(row: dict[str, Any]) -> str:
    """Mean accuracy, and its spread where there are several seeds."""
    spread = row["accuracy_spread"]
    return f"{row['accuracy']:.1f}" + ("" if spread is None else f" ± {spread:.1f}")


def paper_table(found: dict[str, Any]) -> str:
    """Costs at the papers' sizes."""
    rows = [[name, *costs(row), *ratios(row)] for name, row in found["cases"].items()]
    return table(["case", *HEAD, *SHARES], rows) + "\n\n" + measured(found)


LISTS = ("equivalent", "alive")


def mutant_table(found: dict[str, Any]) -> str:
    """Faults that were put into each module, and what the tests made of them."""
    rows = [
        [f"`{path}`", str(row["mutants"]), str(row["killed"]), *(str(len(row[n])) for n in LISTS)]
        for path, row in found["modules"].items()
    ]
    head = ["mutants", "killed", "equivalent", "alive"]
    rows.append(["all", *(str(found["totals"][name]) for name in head)])
    return table(["module", *head], rows) + "\n\n" + measured(found)


def measured(found: dict[str, Any]) -> str:
    """On what."""
    settings = ", ".join(f"{k} {v}" for k, v in found.get("settings", {}).items())
    machine = f"{found['machine']['cpu']}, commit {found['machine']['commit']}"
    return f"<sub>{'; '.join(filter(None, [settings, machine]))}</sub>"


def draw(methods: dict[str, Any], cases: dict[str, Any]) -> None:
    """Accuracy against memory; the papers' sizes as shares of full fine-tuning."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, row in methods.items():
        kept = row["saved_bytes"] / 1e6
        left.errorbar(kept, row["accuracy"], row["accuracy_spread"] or 0, marker="o", capsize=3)
        left.annotate(name, (kept, row["accuracy"]), (6, 4), textcoords="offset points")
    left.set(xlabel="kept for the backward pass (MB, log)", ylabel="Acc@0.5 (%)", xscale="log")
    left.set_title("the default's encoders, same data and schedule")
    shown = {name: row for name, row in cases.items() if not name.startswith("full")}
    places = range(len(shown))
    for offset, (cost, label) in enumerate((("saved_bytes", "kept"), ("step_ms", "time"))):
        shares = [100 * row["to_full"][cost] for row in shown.values()]
        right.barh([p + 0.4 * offset for p in places], shares, 0.38, label=label)
    right.set_yticks([p + 0.2 for p in places], list(shown))
    right.axvline(100, color="grey", linewidth=1)
    right.set(xlabel="% of full fine-tuning of the same encoders")
    right.set_title("the papers' sizes")
    right.legend(loc="lower right")
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    """Write them."""
    methods = json.loads((RESULTS / "methods.json").read_text())
    papers = json.loads((RESULTS / "paper_sizes.json").read_text())
    page = replaced(PAGE.read_text(), "accuracy", accuracy_table(methods))
    mutants = json.loads((RESULTS / "mutants.json").read_text())
    page = replaced(page, "mutants", mutant_table(mutants))
    PAGE.write_text(replaced(page, "papers", paper_table(papers)))
    draw(methods["methods"], papers["cases"])
    print(f"{PAGE}\n{PICTURE}")


if __name__ == "__main__":
    main()
