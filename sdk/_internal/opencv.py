"""The one place that imports OpenCV, so that a broken installation is explained once."""

from sdk.errors import DependencyError

_REINSTALL = (
    "pip uninstall -y opencv-python opencv-python-headless opencv-contrib-python && "
    "pip install opencv-python"
)


def explain(error: BaseException) -> DependencyError:
    """The error to raise when `import cv2` failed with `error`."""
    reason = str(error)
    if "cannot open shared object" in reason:  # libxcb, libGL or libgthread: whichever is first
        fix = (
            "apt-get install -y libgl1 libglib2.0-0, or use the build without windows: "
            "pip uninstall -y opencv-python && pip install opencv-python-headless"
        )
    elif isinstance(error, ModuleNotFoundError) and error.name == "numpy":
        fix = "pip install numpy"
    elif "numpy" in reason or "multiarray" in reason or "_ARRAY_API" in reason:
        fix = (
            "this OpenCV was built for another NumPy (usual with a Jetson's own): "
            'pip install "numpy<2", or pip install opencv-python'
        )
    elif isinstance(error, ModuleNotFoundError):
        fix = "pip install opencv-python (opencv-python-headless where there is no display)"
    else:
        fix = _REINSTALL
    return DependencyError(f"OpenCV (cv2) does not import: {reason}. Fix: {fix}")


try:
    import cv2
except (ImportError, AttributeError) as error:  # AttributeError: built for another NumPy
    raise explain(error) from error
if not hasattr(cv2, "imdecode"):  # what two wheels leave behind when one of them is removed
    raise DependencyError(f"OpenCV (cv2) is an empty leftover folder. Fix: {_REINSTALL}")

__all__ = ["cv2", "explain"]
