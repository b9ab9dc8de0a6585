"""ONNX file to engine."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from sdk.backends.tensorrt.cache import write_file
from sdk.backends.tensorrt.library import Library
from sdk.backends.tensorrt.release import releasing
from sdk.errors import BundleNotFoundError, EngineBuildError, EngineUnsupportedError

Sizes = tuple[int, int, int]
"""Smallest, typical and largest: an engine takes all between, and is tuned for the typical one."""

Progress = Callable[[str, int, int], None]
"""Called with a phase's name, the steps done and the steps there are.

Phases nest, and their names are TensorRT's. Called on another thread than the caller's; what it
raises, KeyboardInterrupt included, stops the build and reaches the caller.
"""


def build_engine(
    onnx_path: str | Path,
    library: Library,
    *,
    profiles: Mapping[str, Sizes],
    timing_cache: Path | None = None,
    version_compatible: bool = False,
    compute_capability: str | None = None,
    workspace_bytes: int | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Compile a graph and return the plan.

    Ctrl-C stops the build at TensorRT's next step, which can take seconds to come.

    Args:
        profiles: sizes of the open axes by their names in the ONNX file, as {"P": (1, 1, 16)}.
        timing_cache: a file of measured kernels to use and to add to, of one version and device.
        version_compatible: later versions of the same major TensorRT run the engine too, slower.
        compute_capability: for TensorRT-RTX, see `Library.target`.
        workspace_bytes: most scratch memory on the GPU; None is TensorRT's own limit.

    Raises:
        BundleNotFoundError: there is no such file.
        EngineUnsupportedError: the graph has operators that TensorRT does not know.
        EngineBuildError: TensorRT failed; the message is what it said.
        DeviceError: as `Library.target`.
        EngineFolderError: the timing cache cannot be written.
    """
    path = Path(onnx_path)
    if not path.is_file():
        raise BundleNotFoundError(f"no ONNX graph at {path}")
    library.target(compute_capability)
    timing_file = timing_cache if library.has_timing_cache else None
    monitor = _make_monitor(library.module.IProgressMonitor, progress)

    @releasing
    def build() -> bytes:
        library.errors()  # forget what is left from other calls
        builder = library.module.Builder(library.logger)
        network = _parse(path, builder, library)
        config = library.builder_config(
            builder,
            compute_capability=compute_capability,
            version_compatible=version_compatible,
            workspace_bytes=workspace_bytes,
        )
        config.progress_monitor = monitor
        _add_profile(path, builder, network, config, profiles)
        if timing_file:
            _load_timing_cache(config, timing_file)
        plan = builder.build_serialized_network(network, config)
        if monitor.error is not None:
            raise monitor.error
        if plan is None:
            raise _failed(path, library, library.errors())
        if timing_file:
            write_file(timing_file, bytes(config.get_timing_cache().serialize()))
        return bytes(plan)

    # On a thread of its own: TensorRT calls back, as the logger, on the thread that builds, and
    # swallows the KeyboardInterrupt that Python raises there.
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(build)
        try:
            while not future.done():
                wait([future], timeout=0.1)
        except BaseException as error:
            monitor.error = error
            raise
    return future.result()


def _parse(path: Path, builder: Any, library: Library) -> Any:
    """The graph as an INetworkDefinition. By file name, so that external weights are found."""
    network = builder.create_network(library.network_flags())
    parser = library.module.OnnxParser(network, library.logger)
    parsed = parser.parse_from_file(str(path))
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    if any(error.code().name.startswith(("UNSUPPORTED", "INVALID_NODE")) for error in errors):
        raise _failed(path, library, _listed(errors), EngineUnsupportedError)
    if not parsed or errors:
        raise _failed(path, library, library.errors() or _listed(errors))
    if network.num_outputs == 0:  # so an empty file is parsed
        raise _failed(path, library, "the file holds no graph")
    return network


def _listed(errors: list[Any]) -> str:
    """One line an error, each with its node."""
    lines = []
    for error in errors:
        node = f"node {error.node()} {error.node_name()!r} ({error.node_operator()}): "
        lines.append(f"{node if error.node() >= 0 else ''}{error.desc()}")
    return "\n".join(dict.fromkeys(lines))


def _failed(
    path: Path, library: Library, reason: str, kind: type[EngineBuildError] = EngineBuildError
) -> EngineBuildError:
    return kind(f"{library.name} {library.version} cannot build {path}: {reason}")


def _add_profile(
    path: Path, builder: Any, network: Any, config: Any, profiles: Mapping[str, Sizes]
) -> None:
    profile = builder.create_optimization_profile()
    is_dynamic = False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        axes: list[Sizes] = []
        for axis, size in enumerate(tensor.shape):
            symbol = tensor.get_dimension_name(axis)
            if size < 0 and symbol not in profiles:
                raise EngineBuildError(
                    f"{path}: axis {axis} ({symbol!r}) of input {tensor.name!r} is open; expected "
                    f"a number or one of {sorted(profiles)}; export the graph with these names"
                )
            axes.append(profiles[symbol] if size < 0 else (size, size, size))
        if -1 in tensor.shape:
            is_dynamic = True
            profile.set_shape(tensor.name, *zip(*axes, strict=True))
    if is_dynamic and config.add_optimization_profile(profile) < 0:
        raise EngineBuildError(f"{path}: TensorRT refuses the sizes {dict(profiles)}")


def _load_timing_cache(config: Any, path: Path) -> None:
    """Use the file; one that is missing, damaged or of another device is started anew."""
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    for data in (content, b""):
        cache = config.create_timing_cache(data)
        if cache is not None and config.set_timing_cache(cache, False):
            return


def _make_monitor(base: Any, progress: Progress | None) -> Any:
    class Monitor(base):  # type: ignore[misc]
        """Passes progress on. `error`, once set, stops the build at the next step."""

        def __init__(self) -> None:
            base.__init__(self)
            self.error: BaseException | None = None
            self._totals: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._totals[phase] = steps
            self._report(phase, 0)

        def step_complete(self, phase: str, step: int) -> bool:
            self._report(phase, step + 1)
            return self.error is None

        def phase_finish(self, phase: str) -> None:
            self._totals.pop(phase, None)

        def _report(self, phase: str, done: int) -> None:
            if progress is None or self.error is not None:
                return
            try:
                progress(phase, done, self._totals.get(phase, done))
            except BaseException as error:  # TensorRT would print it and go on
                self.error = error

    return Monitor()
