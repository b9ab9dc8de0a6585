"""What importing the runtime costs and exposes. Each import runs in a fresh interpreter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sdk
from tests.paths import ROOT
from tests.waiting import run_process

IMPORT_ALL_OF_SDK = """
import importlib, pkgutil, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"blocked: {{name}}")

sys.meta_path.insert(0, Block())
import sdk
# The server's parts need its extra; the package itself does not.
parts = pkgutil.walk_packages(sdk.__path__, "sdk.")
names = [module.name for module in parts if not module.name.startswith("sdk.server.")]
for name in names:
    importlib.import_module(name)
assert {{"sdk.grounder", "sdk.backends.ort"}} <= set(names), names
"""


def run_python(code: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    setup = f"import sys; sys.path[:0] = {[str(path) for path in (*paths, ROOT)]}\n"
    return run_process([sys.executable, "-c", setup + code])


def test_every_module_imports_without_what_only_training_has() -> None:
    blocked = (
        *("torch", "torchvision", "transformers", "tokenizers", "huggingface_hub"),
        *("onnx", "onnxscript", "PIL", "matplotlib", "tqdm", "train", "export", "apps"),
    )
    done = run_python(IMPORT_ALL_OF_SDK.format(blocked=blocked))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_block_works() -> None:
    """The test above proves nothing unless a blocked package really fails to import."""
    done = run_python(IMPORT_ALL_OF_SDK.format(blocked=("numpy",)))
    assert done.returncode != 0
    assert "blocked: numpy" in done.stderr


@pytest.mark.parametrize(
    ("module", "content", "fix"),
    [
        ("cv2", "raise ImportError('libGL.so.1: cannot open shared object file')", "libgl1"),
        ("cv2", "raise ImportError('numpy.core.multiarray failed to import')", "numpy<2"),
        ("cv2", "raise AttributeError('_ARRAY_API not found')", "numpy<2"),
        ("cv2", "raise ImportError('recursion is detected during loading')", "pip uninstall"),
        ("cv2", "raise ModuleNotFoundError('No module named cv2')", "pip install opencv-python"),
        ("cv2", "raise ModuleNotFoundError('numpy', name='numpy')", "Fix: pip install numpy"),
        ("cv2", "", "empty leftover folder"),
        ("onnxruntime", "raise ImportError('no such thing')", "pip install onnxruntime"),
        ("numpy", "raise ImportError('no such thing')", "grounder doctor"),
    ],
)
def test_a_broken_dependency_is_explained(
    tmp_path: Path, module: str, content: str, fix: str
) -> None:
    (tmp_path / f"{module}.py").write_text(content)
    done = run_python("import sdk\nprint('imported')\nsdk.Grounder", tmp_path)
    assert done.stdout.startswith("imported\n")
    assert done.stderr.splitlines()[-1].startswith("sdk.errors.DependencyError")
    assert fix in done.stderr.splitlines()[-1]
    command = "import sys, sdk.cli; sys.exit(sdk.cli.main(['ground', 'a.jpg', 'a dog']))"
    done = run_python(command, tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")


def test_the_command_starts_without_what_doctor_examines() -> None:
    heavy = {"numpy", "cv2", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "cuda"}
    done = run_python(f"""
from contextlib import suppress
from sdk.cli import main
with suppress(SystemExit):
    main(["bench", "--help"])
print({heavy!r} & set(sys.modules))
""")
    assert (done.stdout.splitlines()[-1], done.stderr) == ("set()", "")


def test_public_names() -> None:
    assert sorted(sdk.__all__) == [
        "ArgumentError",
        "BackendError",
        "BundleCorruptError",
        "BundleError",
        "BundleMismatchError",
        "BundleNotFoundError",
        "ClosedError",
        "DependencyError",
        "DeviceError",
        "EngineBuildError",
        "EngineCorruptError",
        "EngineError",
        "EngineFolderError",
        "EngineMismatchError",
        "EngineNotFoundError",
        "EngineUnsupportedError",
        "FrameError",
        "FrameView",
        "Grounder",
        "Grounding",
        "GroundingError",
        "Lesson",
        "LessonError",
        "PhraseError",
        "Place",
        "PrecisionError",
        "RGB",
        "SourceError",
        "Stream",
        "StreamEnded",
        "StreamOverflowError",
        "StreamResult",
        "Tracking",
        "__version__",
        "draw",
    ]
    assert all(hasattr(sdk, name) for name in sdk.__all__)
    assert set(sdk.__all__) <= set(dir(sdk))
    assert sdk.Grounder is sdk.grounder.Grounder and sdk.draw is sdk.outputs.drawing.draw
    with pytest.raises(AttributeError, match="no attribute 'Grouder'"):
        _ = sdk.Grouder


@pytest.mark.parametrize("package", ["sdk.backends.ort", "train.provenance", "export.quantize"])
def test_onnx_runtime_keeps_no_identifier_to_report_by(package: str, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}  # without CI, where it keeps quiet
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {package}"
    run_process([sys.executable, "-c", code], env=home).check_returncode()
    assert not list(tmp_path.rglob("*onnxruntime*"))
