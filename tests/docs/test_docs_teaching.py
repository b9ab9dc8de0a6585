"""Every snippet of docs/teaching.md, run in its order with the default bundle."""

import pytest

from tests.doc_pages import PageRun, blocks
from tests.paths import ROOT


def test_what_is_taught_on_the_page_is_found(tmp_path_factory: pytest.TempPathFactory) -> None:
    run = PageRun(tmp_path_factory.mktemp("docs"))
    for snippet in blocks(ROOT / "docs/teaching.md"):
        run.run(snippet)
    assert run.names["result"].found
    assert run.names["lesson"].figures.examples == run.names["lesson"].figures.absent == 1
    assert [lesson.name for lesson in run.names["grounder"].lessons] == ["saucer"]
