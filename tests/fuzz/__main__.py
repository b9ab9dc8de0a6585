"""`python -m tests.fuzz TARGET [--seconds N]`: a parser of foreign bytes under atheris.

Guided by coverage. Ends with 0 after the seconds; with another code at the first input that a
target does not stand, which is then in `build/fuzz`, and can be given as `--input` to see it again.
"""

import argparse
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sdk", "imagesize", "python_multipart"]):
    from tests.fuzz.targets import TARGETS

FOLDER = Path("build/fuzz")
MEMORY_MIB = 3072
"""Of the process. A picture of the largest size that is read takes 200 MB, decoded."""
HANG_SECONDS = 20


def main() -> None:
    """Fuzz; never returns."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60, help="how long (default: %(default)s)")
    parser.add_argument("--input", type=Path, help="ask this file alone")
    args = parser.parse_args()
    corpus = FOLDER / args.target
    corpus.mkdir(parents=True, exist_ok=True)
    with TARGETS[args.target]() as (target, seeds):
        for number, seed in enumerate(seeds):
            (corpus / f"seed{number}").write_bytes(seed)
        options = [f"-max_total_time={args.seconds}", f"-timeout={HANG_SECONDS}", "-max_len=16384"]
        options += [f"-rss_limit_mb={MEMORY_MIB}", f"-artifact_prefix={FOLDER}/{args.target}-"]
        atheris.Setup([sys.argv[0], *options, str(args.input or corpus)], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
