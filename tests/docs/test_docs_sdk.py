"""Every snippet of docs/sdk.md, run in its order with the default bundle and a real picture."""

import json
from typing import Any

import pytest

from tests.doc_pages import PageRun, blocks
from tests.paths import ROOT

SNIPPETS = blocks(ROOT / "docs/sdk.md")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the snippets leave, and the `folder` they ran in."""
    run = PageRun(tmp_path_factory.mktemp("docs"))
    for snippet in SNIPPETS:
        if "to_supervision" not in snippet.code:  # it has a test of its own
            run.run(snippet)
    return {**run.names, "folder": run.folder}


def test_what_the_page_shows_is_there(ran: dict[str, Any]) -> None:
    found = {result.text: result.found for result in ran["results"]}
    assert found == {"the woman": True, "the head": True, "a giraffe": False}
    left, top, right, bottom = ran["woman"].box
    assert 0 <= left < right <= 512 and 0 <= top < bottom <= 512
    woman, again = ran["woman"], ran["results"][0]  # asked alone, and with others
    assert (again.text, again.found) == (woman.text, woman.found)
    assert again.box == pytest.approx(woman.box, abs=0.01)
    assert again.score == pytest.approx(woman.score, abs=1e-5)
    assert len(again.instances) == len(woman.instances)


def test_the_head_is_found_within_the_woman(ran: dict[str, Any]) -> None:
    """In the picture it is at (140, 10) to (285, 195), give or take the hair. The default gives the
    face alone, whose middle shows that the region's pixels are the frame's."""
    left, top, right, bottom = ran["head"].box
    assert ran["head"].found
    assert 140 < (left + right) / 2 < 285 and 10 < (top + bottom) / 2 < 195


def test_alternatives(ran: dict[str, Any]) -> None:
    suit = ran["suit"]
    assert len(suit.alternatives) == 3
    left, top, right, bottom = suit.box  # from the collar down
    assert suit.found and left < 60 and 80 < top < 160 and right > 300 and bottom > 450


def test_the_stream_gave_every_frame(ran: dict[str, Any]) -> None:
    assert ran["seen"].number == 4
    assert ran["first"].text == "the flag on the left"  # as the phrases were when it ended
    assert not ran["second"].found


def test_files(ran: dict[str, Any]) -> None:
    (line,) = (ran["folder"] / "results.jsonl").read_text().splitlines()
    assert [result["text"] for result in json.loads(line)["results"]] == [
        "the woman",
        "the head",
        "a giraffe",
    ]
    assert (ran["folder"] / "woman.png").stat().st_size > 1000
    assert [row["category_id"] for row in ran["rows"]] == [0, 1, 2]


def test_supervision(ran: dict[str, Any]) -> None:
    pytest.importorskip("supervision", reason="an optional package")
    (code,) = (snippet.code for snippet in SNIPPETS if "to_supervision" in snippet.code)
    names = dict(ran)
    exec(code, names)
    assert names["detections"].data["class_name"].tolist() == ["the woman", "the head"]
