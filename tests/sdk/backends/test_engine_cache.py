"""The folder of engines. The plans here are any bytes: the cache does not look into them."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.backends.tensorrt.cache import Engine, EngineCache, EngineKey, Refusal
from sdk.errors import (
    EngineCorruptError,
    EngineFolderError,
    EngineMismatchError,
    EngineNotFoundError,
)
from tests.paths import ROOT

PLAN = bytes(range(256)) * 40
SHA256 = hashlib.sha256(PLAN).hexdigest()
KEY = EngineKey(
    graph="fusion",
    precision="fp16",
    model_sha256="a" * 64,
    profiles={"P": (1, 1, 16), "L": (2, 8, 64)},
    library="tensorrt",
    version="10.3.0",
    platform="linux-aarch64",
    device="Orin, 8 SMs",
    compute_capability="8.7",
    version_compatible=False,
)

# In another process: the cache, the key and the plan.
SETUP = f"""
import os, sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from sdk.backends.tensorrt.cache import EngineCache, EngineKey
from sdk.errors import EngineFolderError
key = {KEY!r}
plan = bytes(range(256)) * 40
cache = EngineCache(Path("bundle"), "fp16", Path("."))
"""


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    cache = EngineCache(tmp_path / "my bundle", "fp16")
    cache.prepare()
    return cache


def paths(cache: EngineCache) -> tuple[Path, Path]:
    """Plan and description."""
    return next(cache.folder.glob("*.engine")), cache.folder / f"{KEY.stem}.json"


def python(code: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SETUP + code], cwd=folder, stdout=subprocess.PIPE, text=True
    )


TEXTS = st.text(max_size=12)
SIZES = st.integers(0, 99)
KEYS = st.builds(
    EngineKey,
    graph=st.sampled_from(["vision", "text", "fusion"]),
    precision=TEXTS,
    model_sha256=TEXTS,
    profiles=st.dictionaries(TEXTS, st.tuples(SIZES, SIZES, SIZES), max_size=3),
    library=TEXTS,
    version=TEXTS,
    platform=TEXTS,
    device=TEXTS,
    compute_capability=TEXTS,
    version_compatible=st.booleans(),
)


@given(KEYS, KEYS)
def test_equal_keys_and_no_others_share_a_name(one: EngineKey, other: EngineKey) -> None:
    assert (one == other) == (one.stem == other.stem)
    assert dataclasses.replace(one).stem == one.stem


@given(KEYS, KEYS, st.sampled_from([field.name for field in dataclasses.fields(EngineKey)]))
def test_every_field_is_in_the_name(one: EngineKey, other: EngineKey, field: str) -> None:
    changed = dataclasses.replace(one, **{field: getattr(other, field)})
    assert (changed.stem == one.stem) == (getattr(one, field) == getattr(other, field))


@given(KEYS)
def test_names_stay_in_the_folder(key: EngineKey) -> None:
    assert Path(key.stem).name == key.stem
    assert key.stem.startswith(f"{key.graph}.") and key.stem.isascii()


def test_the_order_of_axes_does_not_matter() -> None:
    turned = dict(reversed(KEY.profiles.items()))
    assert dataclasses.replace(KEY, profiles=turned).stem == KEY.stem


def test_a_graph_the_contract_does_not_know() -> None:
    with pytest.raises(ValueError, match=r"graph: expected one of .*, got '\.\./x'"):
        dataclasses.replace(KEY, graph="../x")


def test_what_is_stored_is_found(cache: EngineCache) -> None:
    stored = cache.store(KEY, PLAN, 12.5)
    assert stored == cache.find(KEY) == Engine(KEY, PLAN, paths(cache)[0], 12.5)
    other = dataclasses.replace(KEY, device="Orin, 16 SMs")
    assert cache.find(other, KEY) == stored
    description = json.loads(paths(cache)[1].read_text())
    assert description["key"]["device"] == "Orin, 8 SMs" and description["bytes"] == len(PLAN)
    assert {path.suffix for path in cache.folder.iterdir()} == {".engine", ".json"}


def test_engines_of_several_devices_lie_side_by_side(cache: EngineCache) -> None:
    keys = [dataclasses.replace(KEY, device=device) for device in ("A", "B")]
    for key in keys:
        cache.store(key, key.device.encode(), 1.0)
    plans = [found.plan for key in keys if isinstance(found := cache.find(key), Engine)]
    assert plans == [b"A", b"B"]


def test_a_refused_graph_is_remembered_until_something_changes(cache: EngineCache) -> None:
    cache.refuse(KEY, "no MatMulNBits")
    assert cache.find(KEY) == Refusal(KEY, "no MatMulNBits")
    with pytest.raises(EngineNotFoundError):
        cache.find(dataclasses.replace(KEY, version="10.13.0"))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def edit(**changes: Any) -> Callable[[Path, Path], object]:
    def apply(_plan: Path, description: Path) -> None:
        description.write_text(json.dumps(json.loads(description.read_text()) | changes))

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda plan, _: flip(plan), "expected sha256"),
        (lambda plan, _: plan.write_bytes(PLAN[:-1]), "expected 10240 bytes, got 10239"),
        (lambda plan, _: plan.write_bytes(b""), "got 0"),
        (lambda plan, _: plan.unlink(), "No such file"),
        (lambda _, description: description.write_text(""), "Expecting value"),
        (lambda _, description: description.write_text("{}"), "key: this key is missing"),
        (lambda _, description: description.write_text("[" * 100_000), "nested too deeply"),
        (lambda _, description: description.write_bytes(b"\xff\xfe\x00"), "decode"),
        (edit(sha256="0" * 64), "No such file"),
        (edit(sha256=SHA256[:16] + "0" * 48), f"expected sha256 {SHA256[:16]}00"),
        (edit(sha256="../../x"), "No such file|Not a directory"),
        (edit(bytes=1), "expected 1 bytes"),
        (edit(bytes="many"), "bytes: expected int, got 'many'"),
        (edit(trusted=True), "trusted: unknown key"),
        (edit(key=dataclasses.asdict(KEY) | {"version": "10.4.0"}), "another engine"),
        (edit(key=dataclasses.asdict(KEY) | {"graph": "../x"}), "graph: expected one of"),
    ],
)
def test_a_damaged_engine_is_refused(
    cache: EngineCache, damage: Callable[[Path, Path], object], message: str
) -> None:
    cache.store(KEY, PLAN, 1.0)
    damage(*paths(cache))
    with pytest.raises(EngineCorruptError, match=message) as caught:
        cache.find(KEY)
    assert "build it again: grounder compile" in str(caught.value)
    cache.store(KEY, PLAN, 1.0)
    assert isinstance(cache.find(KEY), Engine)


def test_a_plan_without_description_is_not_loaded(cache: EngineCache) -> None:
    cache.store(KEY, PLAN, 1.0)
    paths(cache)[1].unlink()
    with pytest.raises(EngineNotFoundError, match="the fusion graph at fp16 has not been compiled"):
        cache.find(KEY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "10.13.3"}, r"version of the library: built for 10\.13\.3, here 10\.3\.0;"),
        ({"device": "Orin, 16 SMs"}, "device: built for Orin, 16 SMs, here Orin, 8 SMs;"),
        ({"compute_capability": "8.9"}, r"compute capability: built for 8\.9, here 8\.7;"),
        ({"precision": "fp32"}, "precision: built for fp32, here fp16;"),
        ({"model_sha256": "b" * 64}, "sha256 of the graph: built for bbb"),
        ({"profiles": {"P": (1, 1, 8)}}, "range of sizes: built for"),
        ({"platform": "linux-x86_64"}, "platform: built for linux-x86_64, here linux-aarch64;"),
        ({"library": "tensorrt-rtx"}, "library: built for tensorrt-rtx, here tensorrt;"),
        ({"version_compatible": True}, "version compatible: built for True, here False;"),
    ],
)
def test_an_engine_for_something_else_says_what_differs(
    cache: EngineCache, change: dict[str, Any], message: str
) -> None:
    far = dataclasses.replace(KEY, version="9", device="?", platform="?", precision="?")
    for key in (far, dataclasses.replace(KEY, **change)):
        cache.store(key, PLAN, 1.0)
    (cache.folder / "fusion.notes.json").write_text("not ours")
    with pytest.raises(EngineMismatchError, match=message) as caught:
        cache.find(KEY)
    assert str(caught.value).count("built for") == 2  # the one difference, and the sentence


def test_the_command_names_what_the_engine_needs(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "my bundle", "fp16")
    assert cache.command(KEY) == f"grounder compile '{tmp_path}/my bundle' --precision fp16"
    cache = EngineCache(Path("b"), "fp16", Path("e"))
    rtx = dataclasses.replace(KEY, library="tensorrt-rtx")
    assert cache.command(rtx) == (
        "grounder compile b --precision fp16 --engines e --library tensorrt-rtx "
        "--compute-capability 8.7"
    )
    assert "--compute" not in cache.command(dataclasses.replace(rtx, compute_capability="any"))
    assert "--version-compatible" in cache.command(
        dataclasses.replace(KEY, version_compatible=True)
    )
    with pytest.raises(EngineNotFoundError, match=r"build the engine: grounder compile b"):
        cache.find(KEY)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("file", ["plan", "description"])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_killed_builder_leaves_nothing_that_loads(
    cache: EngineCache, step: str, file: str, older: bool
) -> None:
    """Killed while it writes a file, or between that and renaming it."""
    if older:
        cache.store(KEY, b"an older engine", 1.0)
    code = f"""
calls, real = [], os.{step}
def stop(*args):
    calls.append(args)
    if len(calls) == {2 if file == "description" else 1}:
        print("here", flush=True)
        time.sleep(600)
    return real(*args)
os.{step} = stop
cache.store(key, plan, 1.0)
"""
    with python(code, cache.folder) as process:
        assert process.stdout is not None and process.stdout.readline() == "here\n"
        process.kill()
    if older:
        found = cache.find(KEY)
        assert isinstance(found, Engine) and found.plan == b"an older engine"
    else:
        with pytest.raises(EngineNotFoundError):
            cache.find(KEY)


def test_what_killed_builders_left_is_cleared_up_after_a_day(cache: EngineCache) -> None:
    stored = cache.store(KEY, PLAN, 1.0)
    unfinished = [f"{stored.path.name}.0123456789abcdef.grounder-tmp", "a.grounder-tmp"]
    replaced = f"{KEY.stem}.0123456789abcdef.engine"
    undescribed = f"text.{'0' * 32}.0123456789abcdef.engine"
    strangers = ["notes.tmp", "mine.engine", "engine"]
    left, old = [*unfinished, replaced, undescribed], time.time() - 2 * 24 * 3600
    for name in [*left, *strangers]:
        (cache.folder / name).touch()
    kept = {path.name for path in cache.folder.iterdir()}
    cache.prepare()
    assert {path.name for path in cache.folder.iterdir()} == kept  # may still be written to
    for path in cache.folder.iterdir():
        os.utime(path, (old, old))
    cache.prepare()
    assert {path.name for path in cache.folder.iterdir()} == kept - set(left)
    assert cache.find(KEY) == stored
    paths(cache)[1].write_text("{}")
    cache.prepare()
    assert stored.path.exists()  # its description may be of another version of grounder


def test_a_full_disk_leaves_what_was_there(cache: EngineCache) -> None:
    pytest.importorskip("resource", reason="limits on files need a POSIX system")
    cache.store(KEY, b"an older engine", 1.0)
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (len(plan) - 1, len(plan) - 1))
try:
    cache.store(key, plan, 1.0)
except EngineFolderError as error:
    print(error)
"""
    output, _ = python(code, cache.folder).communicate()
    assert output.startswith("cannot write engines to .: ") and "File too large" in output
    assert "--engines" in output
    found = cache.find(KEY)
    assert isinstance(found, Engine) and found.plan == b"an older engine"
    assert len(list(cache.folder.iterdir())) == 2


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="permissions need a POSIX system")
def test_a_folder_that_is_read_only(cache: EngineCache) -> None:
    cache.store(KEY, PLAN, 1.0)
    cache.folder.chmod(0o555)
    code = """
if os.getuid() == 0:
    os.setuid(65534)  # root may write everywhere
print(cache.find(key).plan == plan)
for write in (cache.prepare, lambda: cache.store(key, plan, 1.0), lambda: cache.refuse(key, "")):
    try:
        write()
    except EngineFolderError as error:
        print(error)
"""
    output, _ = python(code, cache.folder).communicate()
    cache.folder.chmod(0o755)
    found, *errors = output.splitlines()
    assert found == "True" and len(errors) == 3
    for error in errors:
        assert "Permission denied" in error and "--engines" in error


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = EngineCache(tmp_path, "fp16", tmp_path / "file")
    with pytest.raises(EngineFolderError, match="name another folder with --engines"):
        cache.prepare()
    with pytest.raises(EngineNotFoundError):
        cache.find(KEY)


def test_builders_of_one_engine_at_the_same_time(cache: EngineCache) -> None:
    """At every moment a plan and its description fit, whichever builder they are of."""
    code = """
for turn in range(60):
    cache.store(key, plan + os.urandom(turn), 1.0)
"""
    builders = [python(code, cache.folder) for _ in range(3)]
    while any(builder.poll() is None for builder in builders):
        with suppress(EngineNotFoundError):  # before the first
            assert isinstance(cache.find(KEY), Engine)
    assert [builder.wait() for builder in builders] == [0, 0, 0]
    assert isinstance(cache.find(KEY), Engine)
