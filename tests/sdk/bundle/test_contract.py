"""A bundle whose graphs do not fit together is refused when it is loaded, not on a frame."""

from dataclasses import replace

import pytest

from sdk.bundle.contract import FUSION, GRAPHS, TEXT, VISION, GraphSpec, TensorSpec, check_graphs
from sdk.errors import BundleMismatchError

SIZES = {"H": 32, "W": 48}


def declare(graph: GraphSpec, tensor: str, **changes: object) -> list[GraphSpec]:
    """The contract's graphs as a file with open sizes declares them, with one tensor changed."""

    def edit(spec: TensorSpec) -> TensorSpec:
        return replace(spec, **changes) if spec.name == tensor else spec  # type: ignore[arg-type]

    return [
        replace(g, inputs=tuple(map(edit, g.inputs)), outputs=tuple(map(edit, g.outputs)))
        if g is graph
        else g
        for g in GRAPHS
    ]


def test_the_contract_fits_itself() -> None:
    check_graphs(GRAPHS, SIZES)


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_order_of_tensors_is_free(graph: GraphSpec) -> None:
    turned = replace(graph, inputs=graph.inputs[::-1], outputs=graph.outputs[::-1])
    check_graphs([turned], SIZES)


@pytest.mark.parametrize(
    ("graph", "tensor", "changes"),
    [
        (VISION, "image", {"name": "pixels"}),
        (VISION, "image", {"dtype": "float16"}),
        (VISION, "image", {"shape": (1, 3, 48, 32)}),
        (VISION, "image", {"shape": (1, 1, "H", "W")}),
        (VISION, "image", {"shape": (3, "H", "W")}),
        (TEXT, "input_ids", {"dtype": "int32"}),
        (TEXT, "input_ids", {"shape": (1, 16)}),  # phrases have any length
        (FUSION, "text_tokens", {"shape": (1, "L", "Dt")}),  # several phrases in one call
        (FUSION, "boxes", {"shape": ("P", "K", 5)}),
        (FUSION, "logits", {"name": "scores"}),
    ],
)
def test_a_tensor_that_does_not_fit(
    graph: GraphSpec, tensor: str, changes: dict[str, object]
) -> None:
    with pytest.raises(BundleMismatchError, match=f"put of graph {graph.name}.*: expected"):
        check_graphs(declare(graph, tensor, **changes), SIZES)


def test_graphs_must_agree_with_each_other() -> None:
    vision = declare(VISION, "visual_tokens", shape=(1, 400, 96))[0]
    fusion = declare(FUSION, "visual_tokens", shape=(1, 400, 128))[2]
    with pytest.raises(BundleMismatchError, match=r"\[1, 400, 96\], got .*\[1, 400, 128\]"):
        check_graphs([vision, TEXT, fusion], SIZES)
