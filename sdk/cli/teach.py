"""`grounder teach`: learn what a name means from a few examples."""

import argparse
import json
import re
import shlex
from pathlib import Path

from sdk.application import (
    add_model_options,
    load_grounder,
    one_line,
    printable,
    refuse_overwriting,
)
from sdk.errors import ArgumentError, FrameError, LessonError, PhraseError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Learn what a name means. Each line of EXAMPLES is an object with the keys image (relative "
        "to the file), phrase (the name) and box ([left, top, right, bottom] in pixels, or null "
        "where the thing is not in the picture), as training takes it."
    )
    parser.add_argument("examples", metavar="EXAMPLES", help="file of examples, .jsonl")
    parser.add_argument("--name", help="learn this one of several names in the file")
    parser.add_argument("--out", metavar="FILE", help="lesson to write (default: NAME.delta)")
    parser.add_argument(
        "--even-if-worse",
        action="store_true",
        help="write the lesson although the untaught name finds more of the examples",
    )
    add_model_options(parser)


def run(args: argparse.Namespace) -> None:
    """Learn, write, print. Raises GroundingError."""
    from sdk.lessons.lesson import SUFFIX

    name, lines = read_examples(Path(args.examples), args.name)
    out = args.out or re.sub(r"[^\w#+-]+", "_", name) + SUFFIX
    if not Path(out).parent.is_dir():
        raise LessonError(f"--out: expected a file in a folder that exists, got {out}")
    for source in (args.examples, *(str(picture) for _, picture, _ in lines)):
        refuse_overwriting(source, out)
    grounder = load_grounder(args)
    examples = [(picture, box) for _, picture, box in lines]
    try:
        lesson = grounder.teach(name, examples, even_if_worse=args.even_if_worse)
    except (ArgumentError, FrameError) as error:
        where = lambda found: f"{args.examples}:{lines[int(found[1])][0]}"  # noqa: E731
        raise type(error)(re.sub(r"^examples\[(\d+)\]", where, str(error))) from error
    lesson.save(out)
    figures = lesson.figures
    print(f"{printable(name)}: pictures with it: {figures.examples}, without it: {figures.absent}")
    print(f"found before: {figures.right_before} of {figures.examples}")
    if figures.examples > 1:
        left_out = f"{figures.right_left_out} of {figures.examples}"
        print(f"found by what is learned of the others: {left_out}")
    words = printable(f"{shlex.quote(name)} --delta {shlex.quote(out)}")
    print(f"saved {printable(out)}; use it as in: grounder ground PICTURE {words}")


Line = tuple[int, Path, list[float] | None]
"""Its number from 1 on, the picture, the box."""


def read_examples(path: Path, name: str | None) -> tuple[str, list[Line]]:
    """The name, and each of its lines, in any case.

    Args:
        name: of several in the file; lines of what is no name are then passed over.

    Raises:
        LessonError: the file cannot be read, or has no such name, or several and none was chosen.
    """
    from sdk.lessons.lesson import bare

    names: dict[str, str] = {}
    examples: dict[str, list[Line]] = {}
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                image, phrase, box = record["image"], record["phrase"], record["box"]
                given = bare(phrase)
                key = names.setdefault(given.lower(), given)
                examples.setdefault(key, []).append((number, path.parent / image, box))
            except PhraseError as error:
                if name is None:
                    raise LessonError(f"{path}:{number}: {error}") from error
            except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
                raise LessonError(
                    f"{path}:{number}: expected an object with image, phrase and box, got "
                    f"{one_line(line)[:60]}"
                ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise LessonError(f"the examples {path} cannot be read: {error}") from error
    if name is None and len(examples) == 1:
        (name,) = examples
    name = name and names.get(bare(name).lower(), name)
    if name is None or name not in examples:
        have = ", ".join(repr(phrase) for phrase in list(examples)[:5]) or "none"
        wanted = "one name, or --name to choose one" if name is None else f"the name {name!r}"
        raise LessonError(f"{path}: expected {wanted}, got {len(examples)} names: {have}")
    return name, examples[name]
