"""Imported first by every module of `train` that is a command: ends the process without PyTorch.

One line says what to install.
"""

import sys

try:
    import torch  # noqa: F401
except ImportError as error:
    print(
        f"error: training needs PyTorch, which does not import: {error}. Fix: "
        "pip install torch==2.13.0 and then pip install -e '.[train]'",
        file=sys.stderr,
    )
    raise SystemExit(2) from None
