"""The page in a real browser, served as a user starts it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from sdk import Grounder, Grounding
from sdk.results import Place
from tests.paths import ROOT

pytest.importorskip("selenium", reason="needs selenium")

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.waiting import WAIT

CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
DRIVER = which("chromedriver")
FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
# The same camera, but the user clicks "Block".
REFUSED_CAMERA = ("--use-fake-device-for-media-stream", "--deny-permission-prompts")
PHRASES = ["the dog", "a man in a red shirt", "cat", "a cat on the left", "the man", "red", "in"]
ORANGE, BLUE = (255, 180, 60), (60, 200, 255)  # RGB, of the first and the second phrase
FRAME_WH = (200, 120)

# How much of each side of a box, in pixels of the picture, has a colour on the canvas: four shares.
SIDES = """
const canvas = document.getElementById("canvas");
const [[left, top, right, bottom], wanted, pictureWidth] = arguments;
const { width, height } = canvas, scale = width / pictureWidth;
const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
const within = (value, size) => Math.min(Math.max(Math.round(value), 0), size - 1);
function drawn(x, y) {
  const at = 4 * (within(y, height) * width + within(x, width));
  return wanted.every((value, channel) => Math.abs(data[at + channel] - value) < 3);
}
const near = [-2, -1, 0, 1, 2], along = Array.from({ length: 50 }, (_, i) => (i + 0.5) / 50);
const share = (hit) => along.filter((t) => near.some((off) => hit(t, off))).length / 50;
const between = (a, b, t) => (a + (b - a) * t) * scale;
const upright = (x) => share((t, off) => drawn(x * scale + off, between(top, bottom, t)));
const level = (y) => share((t, off) => drawn(between(left, right, t), y * scale + off));
return [upright(left), upright(right), level(top), level(bottom)];
"""


@contextmanager
def demo(bundle: Path, *options: str) -> Iterator[str]:
    """The address of `apps/web_demo.py` with the bundle; afterwards it has been stopped."""
    command = [sys.executable, str(ROOT / "apps" / "web_demo.py"), "--bundle", str(bundle)]
    process = subprocess.Popen(
        [*command, "--device", "cpu", "--port", "0", *options], stderr=subprocess.PIPE, text=True
    )
    try:
        line = process.stderr.readline()
        yield re.search(r"serving on (http://127\.0\.0\.1:\d+),", line)[1]
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.communicate(timeout=WAIT)[1]
    finally:
        process.kill()
        process.wait(WAIT)


@pytest.fixture
def address(tiny_bundle: Path) -> Iterator[str]:
    with demo(tiny_bundle) as address:
        yield address


class Page:
    """The page, open in a browser."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        driver.get(address)

    def by_id(self, name: str) -> Any:
        return self.driver.find_element(By.ID, name)

    def rows(self, part: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, f"#phrases {part}")

    def outputs(self) -> list[str]:
        return [output.text for output in self.rows("output")]

    def draws(self, result: Grounding | Place, colour: tuple[int, int, int]) -> bool:
        """Whether its box is on the canvas; other phrases' boxes and labels may cross it."""
        return min(self.driver.execute_script(SIDES, result.box, colour, FRAME_WH[0])) > 0.6

    def type(self, text: str, row: int = 0) -> None:
        field = self.rows("input")[row]
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def wait(self, condition: Callable[[], object]) -> None:
        WebDriverWait(self.driver, 20, poll_frequency=0.05).until(lambda _: condition())

    def blocked(self) -> list[str]:
        """What the browser's console says the page was not allowed to do, or did wrong."""
        entries = self.driver.get_log("browser")
        errors = [entry["message"] for entry in entries if entry["level"] == "SEVERE"]
        return [error for error in errors if "status of 422" not in error]


@pytest.fixture
def browser() -> Iterator[Callable[..., Any]]:
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs Chromium and its driver: apt-get install -y chromium chromium-driver")
    drivers = []

    def start(*options: str) -> Any:
        settings = webdriver.ChromeOptions()
        settings.binary_location = CHROMIUM
        # Without its own sandbox it starts in containers too; it sees nothing but this server.
        for option in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", *options):
            settings.add_argument(option)
        settings.add_argument("--window-size=1200,800")
        service = webdriver.ChromeService(DRIVER)
        drivers.append(webdriver.Chrome(options=settings, service=service))
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.quit()


@pytest.fixture
def picture(tmp_path: Path, frame: NDArray[np.uint8]) -> Path:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), frame)
    return path


@pytest.fixture
def answers(tiny_bundle: Path, frame: NDArray[np.uint8]) -> tuple[Grounding, Grounding, Grounding]:
    """Two that are found, with boxes apart, and one that is not, on the frame of `picture`."""
    results = Grounder.load(tiny_bundle, device="cpu", threads=1).ground(frame, PHRASES)
    found = [one for one in results if one.score > 0.6]
    absent = [one for one in results if one.score < 0.4]
    first = found[0]
    second = max(found, key=lambda one: np.abs(np.subtract(one.box, first.box)).max())
    assert np.abs(np.subtract(second.box, first.box)).max() > 5
    return first, second, absent[0]


def frames_encoded(address: str) -> float:
    text = httpx.get(f"{address}/metrics").text
    return float(re.search(r"^grounder_frames_encoded_total (\S+)$", text, re.MULTILINE)[1])


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
