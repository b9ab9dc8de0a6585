"""Groundings of a camera or a video as its frames come."""
