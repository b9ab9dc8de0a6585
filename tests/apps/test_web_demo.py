"""What the page of `apps/web_demo.py` does for who uses it."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from sdk import Grounder, Grounding
from sdk.bundle import DEFAULT_BUNDLE
from tests.pupils import CUP, CUP_BOX
from tests.web_page import FRAME_WH, Page, demo, frames_encoded

pytest_plugins = ["tests.web_page"]

FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
# The same camera, but the user clicks "Block".
REFUSED_CAMERA = ("--use-fake-device-for-media-stream", "--deny-permission-prompts")
ORANGE, BLUE = (255, 180, 60), (60, 200, 255)  # RGB, of the first and the second phrase


def test_a_phrase_gets_a_box_and_another_phrase_moves_it(
    address: str, browser: Callable[..., Any], picture: Path, answers: tuple[Grounding, ...]
) -> None:
    first, second, absent = answers
    page = Page(browser(), address)
    page.by_id("file").send_keys(str(picture))
    page.type(first.text)
    page.wait(lambda: page.outputs()[0].startswith("found"))
    assert page.outputs() == [f"found, {first.score:.2f}"]
    assert page.draws(first, ORANGE) and not page.draws(second, ORANGE)
    assert re.fullmatch(r"\d+ ms, of it \d+ ms in the server", page.by_id("latency").text)

    page.type(second.text)
    page.wait(lambda: page.outputs() == [f"found, {second.score:.2f}"])
    assert page.draws(second, ORANGE) and not page.draws(first, ORANGE)

    page.type(absent.text)
    page.wait(lambda: page.outputs() == [f"not there ({absent.score:.2f})"])
    assert not any(page.draws(result, ORANGE) for result in answers)
    assert frames_encoded(address) == 1  # whatever was typed
    assert page.blocked() == []


def test_several_phrases_by_keyboard_alone(
    address: str, browser: Callable[..., Any], picture: Path, answers: tuple[Grounding, ...]
) -> None:
    first, second, absent = answers
    driver = browser()
    page = Page(driver, address)
    page.by_id("file").send_keys(str(picture))

    def press(*keys: str) -> None:
        driver.switch_to.active_element.send_keys(*keys)

    press(first.text, Keys.ENTER)  # the first field has the focus from the start
    press(second.text, Keys.ENTER)
    press("...", Keys.ENTER)
    press(absent.text)
    expected = [f"found, {first.score:.2f}", f"found, {second.score:.2f}"]
    page.wait(lambda: page.outputs()[:2] == expected and page.outputs()[3])
    assert page.outputs()[2].startswith("expected words that describe an object, got '...'")
    assert page.outputs()[3] == f"not there ({absent.score:.2f})"
    assert page.draws(first, ORANGE) and page.draws(second, BLUE)

    press(Keys.ESCAPE)
    page.wait(lambda: page.outputs()[3] == "")
    press(Keys.SHIFT, Keys.TAB, Keys.NULL)  # back from field to field: the removing button
    press(Keys.ENTER)
    page.wait(lambda: len(page.rows("li")) == 3)
    assert page.outputs()[:2] == expected
    assert page.blocked() == []


def test_other_places_are_drawn_when_they_are_asked_for(
    address: str,
    browser: Callable[..., Any],
    picture: Path,
    answers: tuple[Grounding, ...],
    tiny_bundle: Path,
    frame: NDArray[np.uint8],
) -> None:
    first, _, absent = answers
    grounder = Grounder.load(tiny_bundle, device="cpu", threads=1)
    others, unlikely = (
        [  # half of a thin line on the picture's lower edge lies beyond it
            other
            for other in grounder.ground(frame, phrase, alternatives=3).alternatives
            if other.box[3] < FRAME_WH[1]
        ]
        for phrase in (first.text, absent.text)
    )
    assert others and unlikely
    page = Page(browser(), address)
    page.by_id("file").send_keys(str(picture))
    page.type(first.text)
    page.wait(lambda: page.outputs() == [f"found, {first.score:.2f}"])
    assert page.draws(first, ORANGE) and not any(page.draws(other, ORANGE) for other in others)

    page.by_id("others").send_keys(Keys.SPACE)
    page.wait(lambda: all(page.draws(other, ORANGE) for other in others))
    assert page.draws(first, ORANGE) and page.outputs() == [f"found, {first.score:.2f}"]
    page.type(absent.text)  # of what is not there, no place is shown
    page.wait(lambda: page.outputs() == [f"not there ({absent.score:.2f})"])
    assert not any(page.draws(other, ORANGE) for other in (*others, *unlikely))
    page.type(first.text)
    page.wait(lambda: all(page.draws(other, ORANGE) for other in others))

    page.by_id("others").send_keys(Keys.SPACE)
    page.wait(lambda: not any(page.draws(other, ORANGE) for other in others))
    assert page.draws(first, ORANGE)
    assert frames_encoded(address) == 1
    assert page.blocked() == []


def test_a_name_is_taught_by_drawing_a_box(browser: Callable[..., Any]) -> None:
    with demo(DEFAULT_BUNDLE, "--threads", "1") as address:
        page = Page(browser(), address)
        page.by_id("file").send_keys(str(CUP))
        page.type("zorbl")
        page.wait(lambda: page.outputs()[0].startswith("not there"))
        page.by_id("teach").click()
        canvas = page.by_id("canvas")
        zoom = canvas.size["width"] / int(canvas.get_attribute("width"))
        left, top, right, bottom = (int(zoom * edge) for edge in CUP_BOX)
        center_x, center_y = canvas.size["width"] // 2, canvas.size["height"] // 2
        drag = ActionChains(page.driver)
        drag.move_to_element_with_offset(canvas, left - center_x, top - center_y).click_and_hold()
        drag.move_by_offset(right - left, bottom - top).release().perform()
        page.wait(lambda: page.outputs()[0].startswith("found"))
        page.wait(lambda: '"zorbl" is learned (boxes: 1' in page.by_id("message").text)
        assert page.blocked() == []


def test_there_is_no_teaching_where_the_server_allows_none(browser: Callable[..., Any]) -> None:
    with demo(DEFAULT_BUNDLE, "--threads", "1", "--no-teach") as address:
        page = Page(browser(), address)
        page.by_id("file").send_keys(str(CUP))
        page.type("the flower")
        page.wait(lambda: "ms" in page.by_id("latency").text)
        assert not page.by_id("teach").is_displayed()


def test_the_camera(address: str, browser: Callable[..., Any]) -> None:
    page = Page(browser(*FAKE_CAMERA), address)
    page.type("the dog")
    button = page.by_id("camera")
    button.send_keys(Keys.SPACE)
    page.wait(lambda: page.outputs()[0])
    assert button.text == "Stop the camera"
    page.wait(lambda: frames_encoded(address) > 5)  # one new frame after the other
    button.send_keys(Keys.SPACE)
    page.wait(lambda: button.text == "Use the camera")
    assert (page.by_id("message").text, page.blocked()) == ("", [])


def test_a_refused_camera_is_explained(address: str, browser: Callable[..., Any]) -> None:
    page = Page(browser(*REFUSED_CAMERA), address)
    page.by_id("camera").click()
    page.wait(lambda: "The camera was refused" in page.by_id("message").text)
    assert page.by_id("camera").text == "Use the camera"


def test_a_missing_camera_is_explained(address: str, browser: Callable[..., Any]) -> None:
    page = Page(browser("--use-fake-ui-for-media-stream"), address)
    page.by_id("camera").click()
    page.wait(lambda: "There is no camera" in page.by_id("message").text)


def test_a_file_that_is_no_picture_and_a_server_that_is_gone_are_explained(
    tiny_bundle: Path, browser: Callable[..., Any], picture: Path, tmp_path: Path
) -> None:
    driver = browser()
    (tmp_path / "notes.txt").write_text("no picture")
    with demo(tiny_bundle) as address:
        page = Page(driver, address)
        page.by_id("file").send_keys(str(tmp_path / "notes.txt"))
        page.wait(lambda: '"notes.txt" is not a picture' in page.by_id("message").text)
        page.by_id("file").send_keys(str(picture))
        page.wait(lambda: page.by_id("canvas").is_displayed())
        assert page.by_id("message").text == ""
    page.type("the dog")
    page.wait(lambda: "The server does not answer" in page.by_id("message").text)


def test_a_dropped_picture_is_taken(
    address: str, browser: Callable[..., Any], answers: tuple[Grounding, ...]
) -> None:
    page = Page(browser(), address)
    page.type(answers[0].text)
    page.driver.execute_script("""
        const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 48 });
        canvas.toBlob((blob) => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([blob], "dropped.png"));
          const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
          document.getElementById("stage").dispatchEvent(event);
        });
    """)
    page.wait(lambda: page.outputs()[0])
    assert page.by_id("canvas").is_displayed()


def test_the_page_loads_nothing_from_elsewhere(address: str) -> None:
    page = httpx.get(address)
    assert "<script>" not in page.text and " style=" not in page.text
    assert not re.search(r'(src|href)="(https?:)?//', page.text)
    for path in ("/", "/app.js", "/style.css"):
        headers = httpx.get(address + path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    for path in ("/..%2fweb_demo.py", "/%2e%2e/web_demo.py", "/index.html/../../web_demo.py"):
        assert httpx.get(address + path).status_code == 404


@pytest.mark.skipif(os.name == "nt", reason="a script as browser")
@pytest.mark.parametrize("wanted", [True, False])
def test_a_browser_is_opened_only_when_asked_for(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    script, opened = tmp_path / "browser", tmp_path / "opened"
    script.write_text(f'#!/bin/sh\necho "$1" > {opened}.tmp && mv {opened}.tmp {opened}\n')
    script.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(script))
    with demo(tiny_bundle, *(["--open"] if wanted else [])) as address:
        assert httpx.get(f"{address}/healthz").status_code == 200
        for _ in range(1000):
            if opened.exists() or not wanted:
                break
            time.sleep(0.01)
    assert opened.exists() == wanted
    if wanted:
        assert opened.read_text().strip() == address
