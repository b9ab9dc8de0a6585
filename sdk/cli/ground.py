"""`grounder ground`: find phrases in a picture."""

import argparse
import json

from sdk.application import add_detail, add_model_options, load_grounder, refuse_overwriting, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("image", help="picture file")
    parser.add_argument("phrases", nargs="+", metavar="phrase", help='as in "the dog on the left"')
    parser.add_argument("--save", metavar="FILE", help="write the picture with the boxes drawn")
    parser.add_argument(
        "--alternatives",
        type=int,
        default=0,
        metavar="K",
        help="other places that a phrase may mean, at most (default: %(default)s)",
    )
    parser.add_argument(
        "--region",
        type=float,
        nargs=4,
        metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"),
        help="look nowhere else; in pixels of the picture",
    )
    add_detail(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    add_model_options(parser)


def run(args: argparse.Namespace) -> None:
    """Ground, print, save. Raises GroundingError."""
    from sdk.inputs.frames import as_bgr
    from sdk.outputs.drawing import draw, write_image

    if args.save:
        refuse_overwriting(args.image, args.save)
    grounder = load_grounder(args)
    frame = as_bgr(args.image)
    results = grounder.ground(
        frame,
        args.phrases,
        alternatives=args.alternatives,
        region=args.region,
        detail=args.detail,
    )
    if args.save:
        write_image(args.save, draw(frame, results))
    if args.json:
        height, width = frame.shape[:2]
        answer = {
            "image": args.image,
            "size_wh": [width, height],
            "results": [result.to_dict() for result in results],
        }
        print(json.dumps(answer))
        return
    print(table(results))
    if args.save:
        print(f"saved {args.save}")
