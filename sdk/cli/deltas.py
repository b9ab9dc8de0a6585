"""`grounder deltas`: what lessons hold, and whether they fit a bundle."""

import argparse
import json
from dataclasses import asdict

from sdk.application import add_bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="lesson, .delta")
    add_bundle(parser, "--bundle", metavar="FOLDER")
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def run(args: argparse.Namespace) -> None:
    """Print what they are. Raises LessonError for damaged ones, after the others are printed."""
    from sdk.bundle.manifest import Manifest
    from sdk.errors import LessonError
    from sdk.lessons.lesson import Lesson

    manifest = Manifest.load(args.bundle)
    rows, faults = [], []
    for file in args.files:
        try:
            lesson = Lesson.load(file)
        except LessonError as error:
            faults.append(str(error))
            continue
        rows.append(
            {
                "file": file,
                "name": lesson.name,
                "read_as": lesson.noun,
                "fits": lesson.model == manifest.source_checkpoint,
                **asdict(lesson.figures),
            }
        )
    if args.json:
        print(json.dumps({"bundle": manifest.name, "lessons": rows}))
    else:
        for row in rows:
            fits = "fits" if row["fits"] else "is of another model than"
            print(
                f"{row['file']}: {row['name']!r}, read as {row['read_as']!r}; {row['examples']} "
                f"examples, {row['absent']} pictures without; {fits} {manifest.name}"
            )
    if faults:
        raise LessonError("; ".join(faults))
