"""What the program tells to install is what the package's extras install."""

import re

import pytest

from sdk import DependencyError
from sdk._internal.extras import EXTRAS, missing
from tests.paths import ROOT


@pytest.mark.parametrize(
    ("extra", "names"),
    [("serve", ["serve"]), ("offline", ["batch", "parquet"]), ("interop", ["supervision"])],
)
def test_the_lines_name_what_the_extras_of_the_package_name(extra: str, names: list[str]) -> None:
    text = (ROOT / "pyproject.toml").read_text()
    (listed,) = re.findall(rf"^{extra} = \[([^]]*)\]", text, re.MULTILINE)
    told = [wheel for name in names for wheel in EXTRAS[name].wheels.values()]
    assert sorted(told) == sorted(re.findall(r'"([a-z-]+)', listed))


def test_a_missing_package_is_told_with_the_line_that_installs_it() -> None:
    error = missing("parquet", ImportError("no pyarrow"), ", or write JSONL")
    assert isinstance(error, DependencyError)
    assert str(error).endswith("no pyarrow. Fix: pip install pyarrow, or write JSONL")
