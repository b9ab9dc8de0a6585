"""What the public calls of the SDK raise on purpose; of HTTP see `sdk.server.errors`.

    GroundingError
    ├── FrameError (also ValueError)        the picture cannot be used
    ├── PhraseError (also ValueError)       the phrase cannot be used
    ├── BundleError                         the model folder cannot be used
    │   ├── BundleNotFoundError (also FileNotFoundError)
    │   ├── BundleCorruptError              damaged, incomplete or ill-typed
    │   └── BundleMismatchError             intact, but made for another version or contract
    ├── ArgumentError (also ValueError)     a number or name is not one that can be used
    ├── LessonError                         a lesson cannot be learned, read, written or used
    ├── DeviceError (also ValueError)       the device or thread count is not usable here
    ├── PrecisionError (also ValueError)    the bundle does not carry this precision
    ├── SourceError                         a camera, video, folder or stream gives no frames
    ├── StreamOverflowError                 a live source is faster than its stream, which keeps all
    ├── StreamEnded                         no more results will come
    ├── ClosedError                         the grounder has been closed
    ├── DependencyError                     a package, system library or display is missing
    ├── BackendError                        the inference runtime failed
    └── EngineError                         a compiled engine cannot be made, kept or used
        ├── EngineNotFoundError             the graph has not been compiled
        ├── EngineMismatchError             compiled, but for another model, device or version
        ├── EngineCorruptError              damaged, incomplete or edited
        ├── EngineFolderError               the folder of engines cannot be read or written
        └── EngineBuildError                TensorRT could not build the engine
            └── EngineUnsupportedError      the graph has operators TensorRT does not know

Each message says what was expected, what came, and what to do about it.
"""


class GroundingError(Exception):
    """Base class: catching it catches every error the SDK raises on purpose."""


class FrameError(GroundingError, ValueError):
    """The frame has the wrong type, shape, dtype or size, or its file cannot be read."""


class PhraseError(GroundingError, ValueError):
    """The phrase is not text, is blank, or does not fit the text encoder."""


class BundleError(GroundingError):
    """The bundle cannot be used."""


class BundleNotFoundError(BundleError, FileNotFoundError):
    """The bundle folder, its manifest or one of its files does not exist."""


class BundleCorruptError(BundleError):
    """A file of the bundle is damaged, or its manifest is incomplete or ill-typed."""


class BundleMismatchError(BundleError):
    """The bundle is intact but was made for another schema version or graph contract."""


class ArgumentError(GroundingError, ValueError):
    """A number is out of range or none, or a name is none of those that are possible."""


class LessonError(GroundingError):
    """A lesson cannot be learned, read, written or used with this bundle."""


class DeviceError(GroundingError, ValueError):
    """The device is unknown or cannot be used here, or the number of threads cannot."""


class PrecisionError(GroundingError, ValueError):
    """The bundle does not carry the requested precision."""


class SourceError(GroundingError):
    """A camera, video file, image folder or stream cannot be opened or gives no frames."""


class StreamOverflowError(GroundingError):
    """More frames of a live source wait than a stream that promises all of them may keep."""


class StreamEnded(GroundingError):
    """The stream has given its last result, or is closed. No fault."""


class ClosedError(GroundingError):
    """The grounder has been closed."""


class DependencyError(GroundingError):
    """A Python package, a system library or a display is missing."""


class BackendError(GroundingError):
    """The inference runtime failed, or its output is unusable."""


class EngineError(GroundingError):
    """A compiled engine cannot be made, kept or used."""


class EngineNotFoundError(EngineError):
    """The graph has not been compiled into this folder."""


class EngineMismatchError(EngineError):
    """There is an engine, but for another model, size range, device or version of TensorRT."""


class EngineCorruptError(EngineError):
    """An engine is damaged, incomplete or not the one its description speaks of."""


class EngineFolderError(EngineError):
    """The folder of engines cannot be read or written."""


class EngineBuildError(EngineError):
    """TensorRT could not build an engine of the graph."""


class EngineUnsupportedError(EngineBuildError):
    """TensorRT's parser does not know an operator of the graph, or a type it is used with."""
