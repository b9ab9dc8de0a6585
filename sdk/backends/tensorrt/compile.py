"""Compiling a bundle for a GPU: `grounder compile`, and what loading a compiled bundle asks for."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sdk.backends.tensorrt.builder import Progress, Sizes, build_engine
from sdk.backends.tensorrt.cache import EngineCache
from sdk.backends.tensorrt.engine import Engine, EngineKey, Refusal
from sdk.backends.tensorrt.library import Library, Target, load_library
from sdk.bundle.contract import GRAPHS, PHRASES_PER_CALL
from sdk.bundle.manifest import Manifest
from sdk.errors import (
    EngineCorruptError,
    EngineMismatchError,
    EngineNotFoundError,
    EngineUnsupportedError,
)

_TYPICAL_TOKENS = 8  # a phrase of six words


@dataclass(frozen=True)
class CompiledGraph:
    """What became of one graph."""

    graph: str
    precision: str
    path: Path | None
    """None when it was refused."""
    bytes: int
    seconds: float
    """That building took, now or when it was built."""
    cached: bool
    """Whether it had been compiled, or refused, before."""
    refused: str
    """Why TensorRT cannot take the graph, which then runs on ONNX Runtime; "" when it can."""


def compile_bundle(
    bundle: str | Path,
    *,
    precision: str = "auto",
    library: str | None = None,
    folder: str | Path | None = None,
    compute_capability: str | None = None,
    version_compatible: bool = False,
    workspace_bytes: int | None = None,
    progress: Progress | None = None,
) -> list[CompiledGraph]:
    """Compile the graphs of a bundle that have not been compiled for this device and library.

    Args:
        precision: as for `Grounder.load`.
        library: "tensorrt", "tensorrt-rtx" or None, what is installed.
        folder: where engines are kept, None for `engines` in the bundle.
        compute_capability: see `build_engine`.
        version_compatible: see `build_engine`.
        workspace_bytes: see `build_engine`.
        progress: see `build_engine`; it gets phases as "fusion: Building engine".

    Raises:
        BundleError: the bundle cannot be used.
        PrecisionError: the bundle does not carry the precision.
        DependencyError: TensorRT is missing, or does not import.
        DeviceError: the library's name is unknown, or as `Library.target`.
        EngineError: an engine cannot be made or kept.
    """
    bundle = Path(bundle)
    manifest = Manifest.load(bundle)
    tensorrt = load_library(library)
    name, _ = manifest.resolve_precision(precision, tensorrt.name)
    files = manifest.graph_files(name)
    manifest.verify(bundle, {file.file for file in files.values()})
    target = tensorrt.target(compute_capability)
    if version_compatible:
        tensorrt.check_version_compatible()
    cache = EngineCache(bundle, name, _path(folder))
    results = []
    for graph, file in files.items():
        key = _key(manifest, graph, name, tensorrt, target, version_compatible)
        try:
            found, cached = cache.find(key), True
        except (EngineNotFoundError, EngineMismatchError, EngineCorruptError):
            cache.prepare()
            start = time.perf_counter()
            try:
                plan = build_engine(
                    bundle / file.file,
                    tensorrt,
                    profiles=key.profiles,
                    timing_cache=cache.folder / _timing_cache_name(tensorrt, target),
                    version_compatible=version_compatible,
                    compute_capability=compute_capability,
                    workspace_bytes=workspace_bytes,
                    progress=_named(graph, progress),
                )
                seconds = round(time.perf_counter() - start, 3)
                manifest.verify(bundle, [file.file])  # still the graph that the key names
                found = cache.store(key, plan, seconds)
            except EngineUnsupportedError as error:
                manifest.verify(bundle, [file.file])
                found = cache.refuse(key, _reason(error, bundle / file.file))
            cached = False
        results.append(_result(found, cached))
    return results


def engine_for(
    bundle: str | Path,
    manifest: Manifest,
    graph: str,
    precision: str,
    library: Library,
    folder: str | Path | None = None,
) -> Engine | Refusal:
    """The engine that runs a graph on the GPU here, or why TensorRT cannot take the graph.

    Args:
        precision: a name the bundle carries.
        folder: as given to `compile_bundle`.

    Raises:
        DeviceError: there is no GPU.
        EngineNotFoundError: as `EngineCache.find`.
        EngineMismatchError: as `EngineCache.find`.
        EngineCorruptError: as `EngineCache.find`.
        EngineFolderError: as `EngineCache.find`.
    """
    keys = [
        _key(manifest, graph, precision, library, target, version_compatible)
        for target in library.runnable_targets()
        for version_compatible in ((False,) if library.is_rtx else (False, True))
    ]
    return EngineCache(Path(bundle), precision, _path(folder)).find(*keys)


def profiles_for(graph: str, manifest: Manifest) -> Mapping[str, Sizes]:
    """Sizes of the axes that the contract leaves open in the graph's inputs."""
    tokens, prior = manifest.tokenizer.max_tokens, manifest.tokenizer.prior_tokens
    image = manifest.preprocess
    sizes = {
        "P": (1, 1, PHRASES_PER_CALL),
        "L": (2, min(_TYPICAL_TOKENS, tokens), tokens),
        "M": (2, min(_TYPICAL_TOKENS, prior), prior),
        "H": (image.height,) * 3,
        "W": (image.width,) * 3,
    }
    spec = next(spec for spec in GRAPHS if spec.name == graph)
    given = [tensor for tensor in spec.inputs if prior or not tensor.optional]
    symbols = {size for tensor in given for size in tensor.shape}
    return {symbol: limits for symbol, limits in sizes.items() if symbol in symbols}


def _key(
    manifest: Manifest,
    graph: str,
    precision: str,
    library: Library,
    target: Target,
    version_compatible: bool,
) -> EngineKey:
    version = library.version
    return EngineKey(
        graph=graph,
        precision=manifest.precisions[precision][graph],
        model_sha256=manifest.graph_files(precision)[graph].sha256,
        profiles=profiles_for(graph, manifest),
        library=library.name,
        version=version.split(".")[0] if version_compatible else version,
        platform=target.platform,
        device=target.device,
        compute_capability=target.compute_capability,
        version_compatible=version_compatible,
    )


def _reason(error: EngineUnsupportedError, path: Path) -> str:
    """What TensorRT said of the first node that it does not take, and how many there are besides.

    One sentence: what comes after it is advice for other uses.
    """
    first, *others = str(error).partition(f"{path}: ")[2].splitlines()
    said = first.partition(". ")[0].rstrip(".")
    return f"{said}; and {len(others)} more" if others else said


def _path(folder: str | Path | None) -> Path | None:
    return None if folder is None else Path(folder)


def _timing_cache_name(library: Library, target: Target) -> str:
    digest = hashlib.sha256(repr((library.name, library.version, target)).encode()).hexdigest()
    return f"timing.{digest[:16]}.cache"


def _named(graph: str, progress: Progress | None) -> Progress | None:
    if progress is None:
        return None
    return lambda phase, done, total: progress(f"{graph}: {phase}", done, total)


def _result(found: Engine | Refusal, cached: bool) -> CompiledGraph:
    key = found.key
    if isinstance(found, Refusal):
        return CompiledGraph(key.graph, key.precision, None, 0, 0.0, cached, found.reason)
    size = len(found.plan)
    return CompiledGraph(key.graph, key.precision, found.path, size, found.seconds, cached, "")
