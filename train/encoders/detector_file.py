"""`python -m train.encoders.detector_file`: a PicoDet-S detector as this project loads it.

    python -m train.encoders.detector_file picodet_s_320_coco.onnx detector.safetensors

The file holds encoder and head under their names here, every weight unchanged.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from train import needs_torch  # noqa: F401

# isort: split

from safetensors.torch import load_file
from torch import Tensor

from sdk._internal.files import replacing
from train.checkpoint import write_tensors
from train.commands import report_errors
from train.encoders.picodet import from_picodet

ENCODER_PART, HEAD_PART = "encoder.", "head."
"""How the names of their weights begin."""


def read_part(path: Path, part: str) -> dict[str, Tensor]:
    """The weights of one part under their own names.

    In a file without parts everything is the encoder's.

    Raises:
        SafetensorError: not a file of this format.
    """
    tensors = load_file(path)
    if part == ENCODER_PART and not any(name.startswith(HEAD_PART) for name in tensors):
        return tensors
    return {n.removeprefix(part): t for n, t in tensors.items() if n.startswith(part)}


@report_errors(ValueError, OSError)
def main(argv: list[str] | None = None) -> None:
    """Exit code 0, or 2 with one line of what to do."""
    parser = argparse.ArgumentParser(
        prog="python -m train.encoders.detector_file",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("detector", type=Path, help="a PicoDet-S .onnx for COCO's classes")
    parser.add_argument("out", type=Path, help="the .safetensors to write")
    args = parser.parse_args(argv)
    encoder, head = from_picodet(args.detector)
    tensors = {f"{ENCODER_PART}{n}": t for n, t in encoder.state_dict().items()}
    tensors |= {f"{HEAD_PART}{n}": t for n, t in head.state_dict().items()}
    with replacing(args.out) as temporary:
        write_tensors(tensors, temporary, {"source": args.detector.name})
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    sys.exit(main())
