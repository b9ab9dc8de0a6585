"""Builders that are killed, have no room or meet each other leave no engine that is not whole."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sdk.backends.tensorrt.cache import EngineCache
from sdk.backends.tensorrt.engine import Engine
from sdk.errors import EngineFolderError, EngineNotFoundError
from tests.engine_caches import KEY, PLAN, paths
from tests.paths import ROOT
from tests.waiting import WAIT

pytest_plugins = ["tests.engine_caches"]

# In another process: the cache, the key and the plan.
SETUP = f"""
import os, sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from sdk.backends.tensorrt.cache import EngineCache
from sdk.backends.tensorrt.engine import EngineKey
from sdk.errors import EngineFolderError
key = {KEY!r}
plan = bytes(range(256)) * 40
cache = EngineCache(Path("bundle"), "fp16", Path("."))
"""


def python(code: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SETUP + code], cwd=folder, stdout=subprocess.PIPE, text=True
    )


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
    output, _ = python(code, cache.folder).communicate(timeout=WAIT)
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
    output, _ = python(code, cache.folder).communicate(timeout=WAIT)
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
    assert [builder.wait(WAIT) for builder in builders] == [0, 0, 0]
    assert isinstance(cache.find(KEY), Engine)
