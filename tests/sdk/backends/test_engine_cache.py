"""The folder of engines. The plans here are any bytes: the cache does not look into them."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.backends.tensorrt.cache import EngineCache
from sdk.backends.tensorrt.engine import Engine, EngineKey, Refusal
from sdk.errors import EngineCorruptError, EngineMismatchError, EngineNotFoundError
from tests.engine_caches import KEY, PLAN, paths

pytest_plugins = ["tests.engine_caches"]

SHA256 = hashlib.sha256(PLAN).hexdigest()

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
