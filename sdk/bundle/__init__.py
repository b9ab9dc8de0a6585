"""A bundle: its manifest, the contract of its graphs, preprocessing, tokenizer and word lists."""

from pathlib import Path

DEFAULT_BUNDLE = Path(__file__).parents[1] / "bundles" / "default"
"""The one that comes with the package."""
