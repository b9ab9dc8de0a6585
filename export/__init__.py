"""From a training checkpoint to a bundle for `sdk`: `python export/build_engine.py --help`."""

import sdk  # noqa: F401  first: it turns ONNX Runtime's telemetry off
