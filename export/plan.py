"""What a build is asked to do, and everything it reads, checked before it starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from export.samples import Samples
from export.targets import Target
from export.teaching import common_nouns
from sdk._internal.hashing import sha256_file
from sdk._internal.plurals import plural
from sdk.backends.tensorrt.cache import ENGINES_FOLDER
from sdk.bundle.known_words import WORD
from sdk.bundle.manifest import MANIFEST_NAME
from sdk.bundle.tokenizer import WordPieceTokenizer
from sdk.lessons.background import FILE_NAME as TEACHING_NAME
from train.build import MAX_TOKENS, preprocess_for, use_vocab
from train.data.coco import COCO_CLASSES
from train.data.nouns import SYNONYMS
from train.data.readers import read_detection, read_expressions
from train.data.samples import Photo, spread
from train.inference import load_model
from train.methods.mapper.prior import prior_tokenizer
from train.questions import (
    absent_questions,
    caption_questions,
    contrastive_questions,
    counted_questions,
    named_questions,
)

VOCAB_NAME = "vocab.txt"
WORDS_NAME = "words.txt"
PRIOR_NAME = "prior.json"
PARTS = (MANIFEST_NAME, VOCAB_NAME, WORDS_NAME, PRIOR_NAME, TEACHING_NAME)
"""Files of a bundle beside its graphs."""
THINGS_PHOTOS = 64
"""With phrases, and as many with labels, whose things names are told from when they are taught."""
LEAST_USES = 3
"""Words that fewer training phrases hold are no better known than slips."""


@dataclass(frozen=True)
class Plan:
    """What to build from what; each field is a flag of `build_engine`."""

    checkpoint: Path
    out: Path
    data: Path
    vocab: Path
    name: str
    target: Target
    precisions: tuple[str, ...]
    text_precision: str
    calibration_photos: int
    eval_photos: int
    licence: str
    training_data: str
    locations: Mapping[str, str] = field(default_factory=dict)
    """Of the checkpoint's encoders, see `train.locations`."""

    def candidates(self) -> list[tuple[str, str, str]]:
        """(graph, precision, recipe) of every file that is tried beside FP32."""
        return list(self.target.tried(self.precisions, self.text_precision))

    def untimed_kinds(self) -> set[str]:
        """ "fp32" and recipes whose latency is another device's matter."""
        kinds = {recipe: precision for _, precision, recipe in self.candidates()} | {"fp32": "fp32"}
        return {kind for kind, precision in kinds.items() if precision in self.target.untimed}


class Inputs:
    """Everything a build reads, loaded and checked.

    Raises:
        GroundingError, ValueError, OSError: what is wrong with it.
    """

    def __init__(self, plan: Plan) -> None:
        check_replaceable(plan.out)
        photos = read_expressions(plan.data, "train")
        self.words = known_words(photos)
        self.nouns = common_nouns(photos)
        labelled = read_detection(plan.data, "train")
        self.things = spread(photos, THINGS_PHOTOS) + spread(labelled, THINGS_PHOTOS)
        photos = spread(photos, plan.calibration_photos)
        captions = spread(caption_questions(plan.data), plan.eval_photos)
        named = [q for q in named_questions(plan.data) if q[1]]
        named = spread(named, plan.eval_photos)
        asked = {photo.path for photo, _ in captions + named}
        absent = absent_questions(plan.data, yardstick_photos=False)
        self.for_calibration = named + [q for q in absent if q[0].path in asked][::2]
        """Asked beside the captions."""
        self.counted = [q for q in counted_questions(plan.data) if q[0].path in asked]
        """Asked for all that they name, beside everything else."""
        contrastive = contrastive_questions(plan.data, yardstick_photos=False)
        contrastive = [q for q in contrastive if q[1]]
        self.questions = captions + spread(contrastive, plan.eval_photos)
        """What reduced forms are judged by."""
        self.model, self.config = load_model(plan.checkpoint, plan.locations)
        self.checkpoint_sha256 = sha256_file(plan.checkpoint)
        tokenizer = WordPieceTokenizer.from_file(plan.vocab, MAX_TOKENS)
        use_vocab(self.model, plan.vocab)
        self.prior = prior_tokenizer(self.model.text)
        self.samples = Samples(photos, preprocess_for(self.config), tokenizer, self.prior)


def known_words(photos: Iterable[Photo]) -> list[str]:
    """The words of the training phrases, most frequent first, and those of the detector's classes.

    They are what a slip is set right to, and what the bundle says that it knows.
    """
    texts = [expression.text for photo in photos for expression in photo.expressions]
    uses = Counter(word.lower() for text in texts for word in WORD.findall(text))
    common = [word for word, count in uses.most_common() if count >= LEAST_USES]
    nouns = [*COCO_CLASSES, *(noun for nouns in SYNONYMS.values() for noun in nouns)]
    named = [word for noun in (*nouns, *map(plural, nouns)) for word in WORD.findall(noun)]
    return list(dict.fromkeys([*common, *named]))


def check_replaceable(out: Path) -> None:
    """Raises ValueError when `out` is there and is anything but a bundle or an empty folder."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out: expected a folder, got the file {out}")
    strangers = [
        path.name
        for path in (out.iterdir() if out.exists() else ())
        if path.name not in (*PARTS, ENGINES_FOLDER) and path.suffix != ".onnx"
    ]
    if strangers:
        raise ValueError(
            f"--out: {out} holds {', '.join(sorted(strangers)[:3])}, which is no part of a bundle, "
            "and the whole folder would be replaced; give a new folder"
        )
