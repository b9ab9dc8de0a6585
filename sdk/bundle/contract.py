"""The three graphs of a bundle: their tensors, as training, export and runtime agree on them.

    image ──> VISION ──> visual_tokens ──┐
                                         ├──> FUSION ──> boxes, logits, member_logits
    input_ids ──> TEXT ──> text_tokens ──┘

Nothing that VISION computes depends on the phrase: it runs once per frame, TEXT once per phrase.
TEXT takes one phrase at a time, unpadded, so that no other phrase can change its encoding, whatever
the graph's precision; phrases are padded to one length for FUSION.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sdk.errors import BundleMismatchError

IMAGE = "image"
VISUAL_TOKENS = "visual_tokens"
INPUT_IDS = "input_ids"
ATTENTION_MASK = "attention_mask"
PRIOR_IDS = "prior_ids"
PRIOR_SHARES = "prior_shares"
TEXT_TOKENS = "text_tokens"
BOXES = "boxes"
LOGITS = "logits"
MEMBER_LOGITS = "member_logits"


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    `shape` holds sizes, or symbols for sizes: H, W network input; N visual tokens, Dv their width;
    Dt width of the text tokens; K candidates per phrase. A symbol is one size in all graphs. P
    (phrases), L (text tokens) and M (tokens of a second text encoder) change from call to call. A
    graph may leave an `optional` tensor out.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    optional: bool = False


@dataclass(frozen=True)
class GraphSpec:
    """A graph's name in the manifest and its tensors, in order."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


VISION = GraphSpec(
    "vision",
    inputs=(TensorSpec(IMAGE, "float32", (1, 3, "H", "W")),),
    outputs=(TensorSpec(VISUAL_TOKENS, "float32", (1, "N", "Dv")),),
)
"""`image`: RGB, normalised by the manifest's `preprocess`."""

TEXT = GraphSpec(
    "text",
    inputs=(
        TensorSpec(INPUT_IDS, "int64", (1, "L")),
        TensorSpec(ATTENTION_MASK, "int64", (1, "L")),
        TensorSpec(PRIOR_IDS, "int64", (1, "M"), optional=True),
        TensorSpec(PRIOR_SHARES, "float32", (1, "L", "M"), optional=True),
    ),
    outputs=(TensorSpec(TEXT_TOKENS, "float32", (1, "L", "Dt")),),
)
"""The last two where the method has a second text encoder, see `sdk.bundle.prior`."""

FUSION = GraphSpec(
    "fusion",
    inputs=(
        TensorSpec(VISUAL_TOKENS, "float32", (1, "N", "Dv")),
        TensorSpec(TEXT_TOKENS, "float32", ("P", "L", "Dt")),
        TensorSpec(ATTENTION_MASK, "int64", ("P", "L")),
    ),
    outputs=(
        TensorSpec(BOXES, "float32", ("P", "K", 4)),
        TensorSpec(LOGITS, "float32", ("P", "K")),
        TensorSpec(MEMBER_LOGITS, "float32", ("P", "K"), optional=True),
    ),
)
"""`attention_mask`: 0 = padding. `boxes`: cxcywh, fractions of the network input. `logits`: the
candidate is the one that is meant; `member_logits`: it is one of those that are meant.
"""

GRAPHS = (VISION, TEXT, FUSION)
CLASSES, PLACES, COLOURS = 80, 7, 11
"""In the visual tokens of a bundle with a detector, cell by cell: Dt features of the scene and half
as many narrow ones; of each of PLACES places the probabilities of CLASSES and a box (cxcywh,
fractions of the network input); the shares of COLOURS."""
DETECTIONS = PLACES * (CLASSES + 4)
"""Channels of what the detector sees from a cell."""
PHRASES_PER_CALL = 32
"""Most phrases of one call of FUSION: bounds its memory, and what engines are compiled for."""
DYNAMIC_SIZES = ("P", "L", "M")
"""Sizes that a graph must leave open."""


def check_graphs(graphs: Iterable[GraphSpec], sizes: Mapping[str, int]) -> None:
    """Compare the graphs of a bundle, as its files declare them, with this contract.

    An open size in a file agrees with everything.

    Args:
        sizes: symbols that are fixed beforehand ("H" and "W" from the preprocessing).

    Raises:
        BundleMismatchError: they differ; the message names the graph and the tensor.
    """
    known = dict(sizes)
    contract = {graph.name: graph for graph in GRAPHS}
    for graph in graphs:
        expected = contract[graph.name]
        _check_tensors(f"input of graph {graph.name}", expected.inputs, graph.inputs, known)
        _check_tensors(f"output of graph {graph.name}", expected.outputs, graph.outputs, known)


def _check_tensors(
    role: str,
    expected: tuple[TensorSpec, ...],
    got: tuple[TensorSpec, ...],
    known: dict[str, int],
) -> None:
    by_name = {tensor.name: tensor for tensor in got}
    needed = {tensor.name for tensor in expected if not tensor.optional}
    names = [tensor.name for tensor in expected]
    if not needed <= by_name.keys() <= set(names):
        raise _mismatch(role, names, list(by_name))
    for want in (tensor for tensor in expected if tensor.name in by_name):
        have = by_name[want.name]
        matches = have.dtype == want.dtype and len(have.shape) == len(want.shape)
        shape = [known.get(size, size) if isinstance(size, str) else size for size in want.shape]
        for symbol, size in zip(shape, have.shape, strict=False):
            if isinstance(size, str):
                continue
            if isinstance(symbol, str) and symbol not in DYNAMIC_SIZES:
                known[symbol] = size
            else:
                matches = matches and symbol == size
        if not matches:
            expectation, actual = f"{want.dtype} {shape}", f"{have.dtype} {list(have.shape)}"
            raise _mismatch(f"{role} {want.name!r}", expectation, actual)


def _mismatch(role: str, expected: object, got: object) -> BundleMismatchError:
    return BundleMismatchError(
        f"{role}: expected {expected}, got {got}; the bundle was made by another version of the "
        "exporter, export it again"
    )
