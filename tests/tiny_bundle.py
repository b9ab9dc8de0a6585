"""A real bundle that is small enough to be built for each test."""

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from numpy.typing import NDArray

from sdk._internal.hashing import sha256_file
from sdk.bundle.calibration import Calibration
from sdk.bundle.manifest import Encoders, GraphFile, Manifest
from sdk.bundle.preprocess import Preprocess
from sdk.bundle.tokenizer import TokenizerSpec

WIDTH, HEIGHT, TOKEN_WIDTH, MAX_TOKENS = 48, 32, 8, 24
N_TOKENS = WIDTH * HEIGHT // 64
PHRASES = ["the dog", "a man in a red shirt", "cat", "the cat on the left, the dog's right"]
"""Of words that its vocabulary can spell."""

VISION = f"""<ir_version: 8, opset_import: ["": 17]>
vision (float[1,3,{HEIGHT},{WIDTH}] image) => (float[1,{N_TOKENS},{TOKEN_WIDTH}] visual_tokens)
<int64[3] flat_shape = {{1, 3, {N_TOKENS}}}> {{
    pooled = AveragePool <kernel_shape = [8, 8], strides = [8, 8]> (image)
    flat = Reshape (pooled, flat_shape)
    colours = Transpose <perm = [0, 2, 1]> (flat)
    projected = MatMul (colours, weights)
    visual_tokens = Tanh (projected)
}}"""

TEXT = f"""<ir_version: 8, opset_import: ["": 17]>
text (int64[1,L] input_ids, int64[1,L] attention_mask) => (float[1,L,{TOKEN_WIDTH}] text_tokens)
<int64[1] last = {{2}}> {{
    embedded = Gather (weights, input_ids)
    mask = Cast <to = 1> (attention_mask)
    column = Unsqueeze (mask, last)
    text_tokens = Mul (embedded, column)
}}"""

# One candidate per visual token: both its box and its logit come from that token times the mean
# of the phrase's tokens, so a wrong frame, phrase, order or mask gives another answer.
FUSION = f"""<ir_version: 8, opset_import: ["": 17]>
fusion (float[1,{N_TOKENS},{TOKEN_WIDTH}] visual_tokens, float[P,L,{TOKEN_WIDTH}] text_tokens,
        int64[P,L] attention_mask) => (float[P,{N_TOKENS},4] boxes, float[P,{N_TOKENS}] logits)
<int64[1] words = {{1}}, int64[1] last = {{2}}> {{
    mask = Cast <to = 1> (attention_mask)
    column = Unsqueeze (mask, last)
    masked = Mul (text_tokens, column)
    total = ReduceSum <keepdims = 1> (masked, words)
    count = ReduceSum <keepdims = 1> (column, words)
    phrase = Div (total, count)
    joint = Mul (visual_tokens, phrase)
    logits = ReduceSum <keepdims = 0> (joint, last)
    raw = MatMul (joint, weights)
    boxes = Sigmoid (raw)
}}"""

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
VOCAB = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ",", "-", "'"),
    *("a", "the", "dog", "cat", "man", "red", "shirt", "on", "in", "left", "right", "##s"),
    *(letter for letter in LETTERS if letter != "a"),
    *(f"##{letter}" for letter in LETTERS if letter != "s"),
]


def save_graph(path: Path, text: str, weights: NDArray[np.float32]) -> GraphFile:
    """Write an ONNX graph from its text form, with `weights` as the initializer of that name."""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "weights"))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return GraphFile(path.name, sha256_file(path), path.stat().st_size)


def write_tiny_bundle(folder: Path) -> Path:
    """A loadable bundle: a 48 x 32 input, precisions "fp32" and "int8" (other text)."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    vision, text, fusion = (
        rng.normal(size=size).astype(np.float32)
        for size in ((3, TOKEN_WIDTH), (len(VOCAB), TOKEN_WIDTH), (TOKEN_WIDTH, 4))
    )
    (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    Manifest(
        name="tiny",
        method="test",
        encoders=Encoders("pooled colours", "word table"),
        preprocess=Preprocess(WIDTH, HEIGHT, (123.0, 117.0, 104.0), (58.0, 57.0, 57.0)),
        tokenizer=TokenizerSpec("vocab.txt", MAX_TOKENS),
        graphs={
            "vision": {"fp32": save_graph(folder / "vision.onnx", VISION, vision)},
            "text": {
                "fp32": save_graph(folder / "text.onnx", TEXT, text),
                "int8": save_graph(folder / "text.int8.onnx", TEXT, np.round(text)),
            },
            "fusion": {"fp32": save_graph(folder / "fusion.onnx", FUSION, fusion)},
        },
        precisions={
            "fp32": {"vision": "fp32", "text": "fp32", "fusion": "fp32"},
            "int8": {"vision": "fp32", "text": "int8", "fusion": "fp32"},
        },
        default_precision="fp32",
        files={"vocab.txt": sha256_file(folder / "vocab.txt")},
        calibration=Calibration(scale=4.0, bias=-4.0),
        threshold=0.5,
        metrics={},
        source_checkpoint="0" * 64,
        licence="Apache-2.0",
        training_data="none: random weights",
    ).save(folder)
    return folder
