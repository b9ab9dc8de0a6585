"""What a bundle is built for: the reduced forms of its graphs that are tried, and where.

The runtimes want different files. ONNX Runtime's CPU kernels are fast with unsigned activations and
with ranges taken at run time; TensorRT and OpenVINO take symmetric signed ones. TensorRT computes
each node in the type that the graph gives it, so FP16 is a graph of its own too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sdk.backends.tensorrt.library import TENSORRT, TENSORRT_RTX
from sdk.bundle.contract import FUSION, TEXT, VISION

PRECISIONS = ("fp32", "fp16", "int8")
RECIPES = {
    "half": "FP16 with attention scores, softmax and norms in FP32",
    "static": "INT8 with unsigned activations, as convolutions want it on ONNX Runtime's CPU",
    "symmetric": "INT8 with all zero points at zero, the one form TensorRT takes; also OpenVINO",
    "mixed": "symmetric, with FP16 as in half where that is float",
    "blockwise": "INT8 scaled in blocks, of activations at run time, on ONNX Runtime's CPU: BERT's "
    "few large activations do not drown the others; embeddings in 4 bits",
}
"""What can be made, and what for."""


@dataclass(frozen=True)
class Target:
    """One choice of `--target`."""

    name: str
    device: str
    """Of `sdk`: where candidates answer the validation phrases and are timed."""
    recipes: Mapping[str, Mapping[str, tuple[str, ...]]]
    """Precision -> graph -> what is tried for it, of `RECIPES`."""
    text_precision: str
    """Default precision of the one text graph that all precisions share."""
    untimed: tuple[str, ...] = ()
    """Precisions for another device than this: their latency is for `grounder bench` to say."""
    library: str | None = None
    """The TensorRT that compiles the finished bundle's graphs."""

    @property
    def precisions(self) -> tuple[str, ...]:
        """What it can build, the reference first."""
        return tuple(p for p in PRECISIONS if p == "fp32" or p in self.recipes)

    @property
    def text_precisions(self) -> tuple[str, ...]:
        """What the text graph can be."""
        return tuple(p for p in self.precisions if p == "fp32" or TEXT.name in self.recipes[p])

    def tried(
        self, precisions: tuple[str, ...], text_precision: str
    ) -> Iterator[tuple[str, str, str]]:
        """(graph, precision, recipe) of every candidate beside FP32."""
        for precision, graphs in self.recipes.items():
            for graph, recipes in graphs.items():
                wanted = (text_precision,) if graph == TEXT.name else precisions
                if precision in wanted:
                    yield from ((graph, precision, recipe) for recipe in recipes)

    def describe(self, precisions: tuple[str, ...], text_precision: str) -> str:
        """What a build would try, and why."""
        lines = [
            "fp32: all graphs, the reference that the others are judged against",
            *(
                f"{precision}: {graph} as {recipe}: {RECIPES[recipe]}"
                for graph, precision, recipe in self.tried(precisions, text_precision)
            ),
        ]
        if self.library:
            lines.append(f"compile with {self.library}: {', '.join(precisions)}")
        return "\n".join(lines)


def _alike(*recipes: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys((VISION.name, TEXT.name, FUSION.name), recipes)


_FP16 = {"fp16": {VISION.name: ("half",), FUSION.name: ("half",)}}
"""A bundle for CPUs has it for the GPUs it may come to."""
_TENSORRT = {"fp16": _alike("half"), "int8": _alike("mixed", "symmetric")}
_TEXT_OF_ORT = {TEXT.name: ("blockwise",)}
"""No other runtime is as fast with so small a text graph: it runs on ONNX Runtime beside them."""

TARGETS = {
    target.name: target
    for target in (
        Target("cpu", "cpu", _FP16 | {"int8": _alike("static") | _TEXT_OF_ORT}, "int8", ("fp16",)),
        Target("openvino", "openvino", {"int8": _alike("symmetric") | _TEXT_OF_ORT}, "int8"),
        *(
            Target(library, "cpu", _TENSORRT, "fp16", PRECISIONS, library)
            for library in (TENSORRT, TENSORRT_RTX)
        ),
    )
}
