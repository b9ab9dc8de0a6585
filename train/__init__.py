"""Training on frozen encoders: `python -m train --help`."""

import sdk  # noqa: F401  first: it turns ONNX Runtime's telemetry off
