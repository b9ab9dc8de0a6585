"""What a `Grounder` has loaded."""

from collections.abc import Mapping
from dataclasses import dataclass

from sdk.backends.session import Session
from sdk.bundle.contract import VISION
from sdk.bundle.manifest import Manifest


@dataclass(frozen=True, slots=True)
class GraphInfo:
    """One graph: the device that runs it, its precision, the size of its file in bytes."""

    device: str
    precision: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Info:
    """A loaded bundle."""

    name: str
    method: str
    """How it was trained, as "m2ist"."""
    encoders: dict[str, str]
    """"vision" and "text"."""
    input_size_wh: tuple[int, int]
    """Pixels that a frame is brought to."""
    device: str
    """What runs the vision graph, as "cpu"."""
    precision: str
    """As asked for, or chosen by "auto"."""
    reason: str
    """Why it is this one: for "auto" on a CPU with the times that it was chosen by."""
    bytes: int
    """Of all graphs' files."""
    graphs: dict[str, GraphInfo]
    """By the graph's name."""


def describe(
    manifest: Manifest, sessions: Mapping[str, Session], precision: str, reason: str
) -> Info:
    """What runs at `precision`, for a reason, in the sessions: one per graph by its name."""
    graphs = {
        graph: GraphInfo(sessions[graph].device, manifest.precisions[precision][graph], file.bytes)
        for graph, file in manifest.graph_files(precision).items()
    }
    return Info(
        name=manifest.name,
        method=manifest.method,
        encoders={"vision": manifest.encoders.vision, "text": manifest.encoders.text},
        input_size_wh=(manifest.preprocess.width, manifest.preprocess.height),
        device=sessions[VISION.name].device,
        precision=precision,
        reason=reason,
        bytes=sum(graph.bytes for graph in graphs.values()),
        graphs=graphs,
    )
