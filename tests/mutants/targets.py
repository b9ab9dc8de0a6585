"""Which tests judge which modules, the quickest first; and what no test can tell apart."""

from __future__ import annotations

import json
from pathlib import Path

METHODS, FUSION = "tests/train/methods", "tests/train/fusion"
M2IST = [f"{METHODS}/test_m2ist_equations.py", f"{METHODS}/test_m2ist.py"]
MAPPER = [f"{METHODS}/test_mapper_equations.py"]
CANDIDATES = [f"{FUSION}/test_candidates_equations.py", f"{FUSION}/test_starts.py"]
TESTS: dict[str, list[str]] = {
    "train/methods/m2ist/model.py": M2IST,
    "train/methods/m2ist/layers.py": [
        f"{METHODS}/test_m2ist_equations.py",
        f"{METHODS}/test_m2ist_layers.py",
    ],
    "train/methods/mapper/model.py": [
        *MAPPER,
        f"{METHODS}/test_mapper.py",
        f"{METHODS}/test_mapper_text.py",
        f"{METHODS}/test_mapper_prior.py",
    ],
    "train/methods/mapper/prior.py": [f"{METHODS}/test_mapper_prior.py"],
    "train/methods/unipt/model.py": [
        f"{METHODS}/test_unipt_equations.py",
        f"{METHODS}/test_unipt.py",
    ],
    "train/methods/unipt/joint.py": [
        f"{METHODS}/test_unipt_equations.py",
        f"{METHODS}/test_unipt.py",
    ],
    "train/methods/bottleneck.py": [f"{METHODS}/test_adapters.py"],
    "train/methods/lora.py": [f"{METHODS}/test_adapters.py"],
    "train/methods/head_only.py": MAPPER,
    "train/methods/__init__.py": [f"{METHODS}/test_built.py"],
    "train/fusion/transvg.py": [
        f"{FUSION}/test_transvg_equations.py",
        f"{FUSION}/test_transvg.py",
        f"{FUSION}/test_fusion.py",
    ],
    "train/fusion/candidates.py": [*CANDIDATES, f"{FUSION}/test_fusion.py"],
    "train/fusion/detections.py": [*CANDIDATES, f"{FUSION}/test_detections.py"],
    "train/fusion/colours.py": [*CANDIDATES, f"{FUSION}/test_fusion_colours.py"],
    "train/fusion/layers.py": CANDIDATES,
    "train/fusion/match.py": CANDIDATES,
    "train/fusion/base.py": [f"{FUSION}/test_base.py", f"{FUSION}/test_fusion.py"],
}
EQUIVALENT: dict[str, dict[str, str]] = json.loads(
    Path(__file__).with_name("equivalent.json").read_text(encoding="utf-8")
)
"""Module -> change -> why no number that anybody reads is another one."""
