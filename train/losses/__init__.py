"""What answers cost: boxes and logits, what candidates learn, and the choice by fusion."""

LOSSES = ("all", "box")
"""All terms that a fusion has, or L1 and GIoU alone, as TransVG and the papers on it train."""
