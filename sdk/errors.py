"""Everything the SDK raises on purpose.

    GroundingError
    ├── FrameError (also ValueError)        the picture cannot be used
    ├── PhraseError (also ValueError)       the phrase cannot be used
    ├── BundleError                         the model folder cannot be used
    │   ├── BundleNotFoundError (also FileNotFoundError)
    │   ├── BundleCorruptError              damaged, incomplete or ill-typed
    │   └── BundleMismatchError             intact, but made for another version or contract
    ├── DeviceError                         the device or thread count is not usable here
    ├── PrecisionError                      the bundle does not carry this precision
    ├── SourceError                         a camera, video, folder or stream gives no frames
    ├── DependencyError                     a package, system library or display is missing
    └── BackendError                        the inference runtime failed

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


class DeviceError(GroundingError):
    """The device is unknown or cannot be used here, or the number of threads is not positive."""


class PrecisionError(GroundingError):
    """The bundle does not carry the requested precision."""


class SourceError(GroundingError):
    """A camera, video file, image folder or stream cannot be opened or gives no frames."""


class DependencyError(GroundingError):
    """A Python package, a system library or a display is missing."""


class BackendError(GroundingError):
    """The inference runtime failed, or its output is unusable."""
