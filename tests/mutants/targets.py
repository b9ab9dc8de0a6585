"""Which tests judge which modules, the quickest first; and what no test can tell apart."""

from __future__ import annotations

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
    "train/fusion/lessons.py": [*CANDIDATES, f"{FUSION}/test_candidates.py"],
    "train/fusion/base.py": [f"{FUSION}/test_base.py"],
    "train/fusion/__init__.py": [f"{METHODS}/test_built.py"],
}
SCORES = "scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)  # (P, heads, K, K)"
HIDDEN = "offsets = offsets.masked_fill(~text_mask[:, None], -1e4).flatten(1)"
TAP_WIDTHS = "width, text_width = vision.tap_channels[-1], text.tap_channels[-1]"
EQUIVALENT: dict[tuple[str, str], str] = {
    (
        "train/methods/m2ist/model.py",
        "bottleneck = shared[0].in_features | 0 -> 1",
    ): "all interaction experts have one width",
    (
        "train/methods/unipt/model.py",
        "mixed = (gathered * confidence.softmax(-1)[:, None, None]).sum(-1) | -1 -> 1",
    ): "confidence has two axes, and 1 is the last",
    ("train/fusion/match.py", f"{SCORES} | -2 -> 2"): "of four axes these are one",
    (
        "train/fusion/layers.py",
        f"{HIDDEN} | 10000.0 -> 20000.0",
    ): "either is a weight of zero after the softmax",
    (
        "train/fusion/candidates.py",
        "reads_parts = True | True -> False",
    ): "its parts are then joined, and taken apart again",
    **dict.fromkeys(
        (
            ("train/methods/m2ist/layers.py", f"{TAP_WIDTHS} | {change}")
            for change in ("-1 -> 1", "1 -> 2")
        ),
        "all taps of a transformer have one width",
    ),
}
"""(module, change) -> why no number that anybody reads is another one."""
