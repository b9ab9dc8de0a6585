"""Names that are taught to a bundle from a few examples, without training."""
