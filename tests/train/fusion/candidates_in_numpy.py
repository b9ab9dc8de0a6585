"""The candidates fusion written out once more in NumPy, one phrase and one thing at a time."""

import numpy as np

from tests.train.equations import (
    Array,
    Weights,
    multi_head,
    relu,
    sigmoid,
    softmax,
)

DIM, GRID, HEADS = 24, 8, 4  # the size of a head is no other size
CELLS, HALF = GRID * GRID, DIM // 2
CLASSES, PLACES, COLOURS = 80, 7, 11
BEST, DETECTED, CONTEXTS = 14, 6, 6
TINY = 2
"""So many of the things that the detector sees are smaller than the least size that counts."""


def highest(w: Weights, text: Array, name: str) -> Array:
    """The highest logit of any word."""
    return w.linear(text, name).max(0)


def attention(w: Weights, queries: Array, context: Array) -> Array:
    keys, values = np.split(w.linear(context, "key_value"), 2, -1)
    return w.linear(multi_head(w.linear(queries, "query"), keys, values, HEADS), "out")


def scene_layer(w: Weights, cells: Array) -> Array:
    """Neighbours, where the layer has weights for it the image in 2 x 2 cells, each cell."""
    normed = w.norm(cells, "norm_mix")
    narrow = relu(w.linear(normed, "local_in")).reshape(GRID, GRID, -1)
    padded = np.pad(narrow, ((1, 1), (1, 1), (0, 0)))
    kernel, mixed = w["local.weight"], np.zeros((GRID, GRID, HALF)) + w["local.bias"]
    for dy, dx in np.ndindex(3, 3):
        mixed += padded[dy : dy + GRID, dx : dx + GRID] @ kernel[:, :, dy, dx].T
    out = cells + w.linear(relu(mixed).reshape(CELLS, -1), "local_out")
    if "whole" in w:
        image = normed.reshape(GRID // 2, 2, GRID // 2, 2, -1)
        out = out + attention(w.part("whole"), normed, image.mean((1, 3)).reshape(-1, DIM))
    return out + w.mlp(w.norm(out, "norm_ffn"), "ffn", 0, 2)


def prepared(w: Weights, visual: Array) -> Array:
    cells = visual + w["positions"][0]
    for layer in range(2):
        cells = scene_layer(w.part(f"scene.{layer}"), cells)
    return np.concatenate([cells, w.linear(cells, "narrow")], -1)


def iou(a: Array, b: Array, least: float = 1e-6) -> float:
    """Of two boxes, cxcywh."""
    low = np.maximum(a[:2] - a[2:] / 2, b[:2] - b[2:] / 2)
    high = np.minimum(a[:2] + a[2:] / 2, b[:2] + b[2:] / 2)
    inter = np.maximum(high - low, 0).prod()
    return float(inter / max(a[2:].prod() + b[2:].prod() - inter, least))


def centers() -> Array:
    ticks = (np.arange(GRID) + 0.5) / GRID
    return np.array([(x, y) for y in ticks for x in ticks])


def top(values: Array, count: int) -> Array:
    return np.argsort(-values, kind="stable")[:count]


class Detected:
    """What the detector's places (N, PLACES, CLASSES + 4) say of a phrase."""

    def __init__(self, w: Weights, seen: Array, text: Array) -> None:
        self.probabilities, boxes = seen[..., :CLASSES], seen[..., CLASSES:]
        self.names = highest(w, text, "name")
        self.named = softmax(np.array([0.0, *self.names]))[1:]
        self.known = self.named.sum()
        hits = self.probabilities @ self.named  # (N, PLACES)
        near = boxes.copy()
        near[..., :2] -= centers()[:, None]
        facts = np.concatenate([hits[..., None], hits[..., None] * near], -1)
        self.told = w.mlp(facts.reshape(CELLS, -1), "tell", 0, 2)
        self.seen = hits.max(1)
        likely = {}
        for cell, place in np.ndindex(CELLS, PLACES):
            step = (1, 1, 1, 1, 1, 2, 4)[place]  # a coarse place stands in several cells
            y, x = divmod(cell, GRID)
            likely[cell, place] = hits[cell, place] if y % step == x % step == 0 else 0.0
        pool = sorted(likely, key=lambda at: -likely[at])[:48]
        rank = []
        for number, at in enumerate(pool):
            covered = any(iou(boxes[at], boxes[better]) > 0.7 for better in pool[:number])
            rank.append(likely[at] * (1e-3 if covered else 1.0))
        chosen = [pool[number] for number in top(np.array(rank), DETECTED)]
        self.cells = np.array([cell for cell, _ in chosen])
        self.boxes = np.array([boxes[at] for at in chosen])

    def rival(self, cell: int) -> float:
        """The most likely thing in a cell that is not named."""
        return float((self.probabilities[cell].max(0) * (1 - self.named)).max())


class Painted:
    """The named colours' share of every cell."""

    def __init__(self, w: Weights, painted: Array, colours: Array) -> None:
        named = colours.max(0)
        self.shares, self.asked = painted @ named, named.max()
        facts = np.stack([self.shares, np.full(CELLS, self.asked)], -1)
        self.told = w.mlp(facts, "tell", 0, 2)

    def share(self, box: Array) -> float:
        """Mean over a box's middle."""
        return float(within(box) @ self.shares)


def within(box: Array) -> Array:
    """Weights of the cells in a box's middle: they fall to 1/e at 0.3 of a side and half a cell."""
    reach = 0.3 * box[2:] + 0.5 / GRID
    weights = np.exp(-(((centers() - box[:2]) / reach) ** 2).sum(-1))
    return np.asarray(weights / weights.sum())


def word_attention(w: Weights, cells: Array, text: Array) -> Array:
    """What is read, added and multiplied in."""
    read = attention(w, cells, text)
    return read + cells * w.linear(read, "gate")


def match_layer(w: Weights, cells: Array, text: Array) -> Array:
    cells = cells + word_attention(w.part("words"), w.norm(cells, "norm_words"), text)
    return cells + w.mlp(w.norm(cells, "norm_ffn"), "ffn", 0, 2)


def compare_layer(w: Weights, things: Array, bias: Array, text: Array) -> Array:
    normed = w.norm(things, "norm_self")
    q, k, v = np.split(w.linear(normed, "each_other.query_key_value"), 3, -1)
    things = things + w.linear(multi_head(q, k, v, HEADS, bias), "each_other.out")
    things = things + attention(w.part("words"), w.norm(things, "norm_words"), text)
    return things + w.mlp(w.norm(things, "norm_ffn"), "ffn", 0, 2)


def pair(one: Array, other: Array) -> Array:
    """How the second box lies to the first."""
    a, b = (np.array([*box[:2], *np.maximum(box[2:], 0.01)]) for box in (one, other))
    offset = b[:2] - a[:2]
    inside, ratio = np.clip(offset / a[2:], -4, 4), np.clip(np.log(b[2:] / a[2:]), -3, 3)
    return np.array([*offset, *inside, *ratio, iou(a, b)])


def peaks(likely: Array) -> Array:
    """A thousandth for cells with a better one around them."""
    image = np.pad(likely.reshape(GRID, GRID), 1, constant_values=-np.inf)
    around = np.max([image[y : y + GRID, x : x + GRID] for y, x in np.ndindex(3, 3)], 0)
    return np.where(likely == around.reshape(-1), likely, 1e-3 * likely)


def answered(w: Weights, visual: Array, text: Array, *, detecting: bool) -> dict[str, Array]:
    """Everything that the fusion says of one phrase without padding."""
    scene = visual[:, : DIM + HALF]
    wide, cells = scene[:, :DIM], scene[:, DIM:]
    detected = painted = None
    text, colours = text[:, :DIM], text[:, DIM:]
    if detecting:
        seen = visual[:, DIM + HALF : -COLOURS].reshape(CELLS, PLACES, CLASSES + 4)
        detected = Detected(w.part("detections"), seen, text)
        painted = Painted(w.part("colours"), visual[:, -COLOURS:], colours)
        cells = cells + detected.told + painted.told
    words = w.linear(text, "narrow_text")
    for layer in range(2):
        cells = match_layer(w.part(f"match.{layer}"), cells, words)
    cells = w.norm(cells, "norm")
    says = w.mlp(cells, "match_head", 0, 2)
    named, context, sides = says[:, 0], says[:, 1], sigmoid(says[:, 2:])
    left, upper, right, lower = sides.T
    middle = centers() + np.stack([right - left, lower - upper], -1) / 2
    boxes = np.concatenate([middle, np.stack([left + right, upper + lower], -1)], -1)
    best, beside = top(peaks(sigmoid(named)), BEST), top(peaks(sigmoid(context)), CONTEXTS)
    found = detected.cells if detected else np.zeros(0, int)
    chosen = np.array([*best, *found, *beside])
    placed = np.concatenate([boxes[best], *([detected.boxes] if detected else []), boxes[beside]])
    hits = detected.seen if detected else np.zeros(CELLS)
    known = detected.known if detected else 0.0
    things = w.linear(np.concatenate([cells[chosen], wide[chosen]], -1), "gather")
    things = things + w.linear(np.stack([within(box) @ wide for box in placed]), "pool")
    weighed = np.zeros(len(chosen))
    if detected and painted:
        facts = [
            [painted.share(box), painted.asked, hits[cell], detected.rival(cell), known]
            for cell, box in zip(chosen, placed, strict=True)
        ]
        more = w.mlp(np.array(facts), "evidence", 0, 2)
        shares, asked = np.array(facts).T[:2]
        lacking = relu(asked - 8 * shares)  # of an eighth of the box in the colour
        things, weighed = things + more[:, :-1], more[:, -1] - 2 * lacking
    told = np.stack([named[chosen], context[chosen], hits[chosen]], -1)
    about = [placed, np.log(np.maximum(placed[:, 2:], 1e-3)), told]
    things = things + w.mlp(np.concatenate(about, -1), "place", 0, 2)
    roles = np.repeat([0, 1, 2], [BEST, len(found), CONTEXTS])
    things = things + w["roles"][roles]
    pairs = np.array([[pair(one, other) for other in placed] for one in placed])
    biases = w.mlp(pairs, "pairs", 0, 2)
    for layer in range(2):
        bias = biases[..., HEADS * layer : HEADS * (layer + 1)].transpose(2, 0, 1)
        things = compare_layer(w.part(f"compare.{layer}"), things, bias, text)
    count = BEST + len(found)
    things = w.norm(things[:count], "norm_out")
    one, member = w.mlp(things, "head", 0, 2).T
    looked = softmax(one) @ things
    present = w.mlp(np.array([*looked, *text[0], known, hits.max()]), "presence", 0, 2)
    logits = present + weighed[:count]
    logits = logits + w["match_weight"] * named[chosen[:count]]
    logits[BEST:] += w["detected_weight"] * known
    return {
        "boxes": placed[:count],
        "logits": one + logits,
        "members": member + logits,
        "matches.boxes": boxes,
        "matches.named": named,
        "matches.context": context,
        "matches.classes": detected.names if detected else np.zeros(0),
    }
