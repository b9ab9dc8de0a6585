"""The page of `apps/web_demo.py` in a real browser, served as a user starts it."""

import re
import signal
import subprocess
import sys
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
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from sdk import Grounder, Grounding
from sdk.results import Place
from tests.paths import ROOT
from tests.waiting import WAIT

CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
DRIVER = which("chromedriver")
PHRASES = ["the dog", "a man in a red shirt", "cat", "a cat on the left", "the man", "red", "in"]
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
        self.wait(lambda: len(self.rows("input")) > row)  # the page's script makes them
        field = self.rows("input")[row]
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def wait(self, condition: Callable[[], object]) -> None:
        WebDriverWait(self.driver, WAIT, poll_frequency=0.05).until(lambda _: condition())

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
