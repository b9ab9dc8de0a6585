"""The `grounder` command.

    grounder ground photo.jpg "the dog on the left" "a red car" --save out.jpg
    grounder info [bundle]
    grounder doctor [bundle] --precision fp16
    grounder compile [bundle] --precision fp16
    grounder bench [bundle] --device tensorrt --json run.json --compare before.json
    grounder serve --port 8000
    grounder batch photos/ street.mp4 --phrase "a dog" --out dogs.parquet
    grounder teach zorbls.jsonl --out zorbl.delta
    grounder deltas zorbl.delta

Exit code 0: done, also when nothing was found. 2: it could not be done, said in one line on stderr.
1, of `grounder batch` alone: done, but for files that could not be read.

What needs NumPy, OpenCV or ONNX Runtime is imported by the command that uses it: `grounder doctor`
must start where they are broken.
"""

from sdk.cli.main import main

__all__ = ["main"]
