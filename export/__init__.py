"""From a training checkpoint to a bundle for `sdk`: `python export/build_engine.py --help`."""
