"""SECURITY.md says of the server's limits what the code says."""

import argparse
import re
from dataclasses import asdict

from sdk.inputs.frames import MAX_SIDE, MIN_SIDE
from sdk.server import Limits, serve
from tests.paths import ROOT

PAGE = (ROOT / "SECURITY.md").read_text()
ROW = re.compile(
    r"^\| [^|]+ \| ([\d.]+) \| `(\w+)` \| (?:`(--[\w-]+)`)? *\| [^|]+ \|$", re.MULTILINE
)
UNITS = {"--max-mib": 2**20, "--max-megapixels": 1e6}


def test_the_table_has_all_limits_with_their_defaults() -> None:
    assert {field: float(value) for value, field, _ in ROW.findall(PAGE)} == asdict(Limits())


def test_the_table_has_the_options() -> None:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    options = {option: value for value, _, option in ROW.findall(PAGE) if option}
    assert len(options) == 6
    for option, value in options.items():
        name = option[2:].replace("-", "_")
        default = parser.get_default(name) * UNITS.get(option, 1)
        assert default == float(value)
        changed = getattr(parser.parse_args([option, "7"]), name)
        assert changed == 7


def test_the_numbers_beside_the_table() -> None:
    assert f"{MIN_SIDE} to {MAX_SIDE} pixels" in PAGE
    assert f"at least {serve.TOKEN_CHARACTERS} characters" in PAGE
