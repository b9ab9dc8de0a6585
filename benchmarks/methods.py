"""All methods on the default's encoders: `python -m benchmarks.methods`, then the page.

Runs `train.papers.compare` with its flags and adds the machine and the commit to what it found, as
`results/methods.json`. With `paper_sizes.py` it is what `docs/methods.md` is made of.
"""

from __future__ import annotations

import json
import sys

from benchmarks.record import ROOT
from train.papers.compare import build_parser, main
from train.provenance import describe

RESULTS = ROOT / "benchmarks" / "results" / "methods.json"

if __name__ == "__main__":
    code = main()
    if code == 0:
        found = json.loads((build_parser().parse_args().out / "compare.json").read_text())
        RESULTS.write_text(json.dumps({"machine": describe(), **found}, indent=1) + "\n")
        print(f"written to {RESULTS}")
    sys.exit(code)
