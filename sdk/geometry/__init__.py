"""Boxes, and the choice among candidate boxes."""
