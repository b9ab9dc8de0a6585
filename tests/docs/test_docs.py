"""The pages: what they show is what runs, their links lead somewhere, the site builds."""

import ast
import importlib.util
import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import sdk
from sdk.cli import main
from tests.doc_pages import (
    SLOW_SECONDS,
    Block,
    PageRun,
    blocks,
    check_command,
    commands,
    prints_as_shown,
)
from tests.paths import ROOT
from tests.waiting import run_process

PAGES = [ROOT / "docs/index.md", *sorted((ROOT / "docs/tutorials").glob("*.md"))]
BLOCKS = {page.stem: blocks(page) for page in PAGES}
SLOW = [block for found in BLOCKS.values() for block in found if block.slow]


@pytest.mark.parametrize("page", BLOCKS)
def test_a_page_prints_what_it_shows(page: str, tmp_path: Path) -> None:
    run = PageRun(tmp_path)
    for block in BLOCKS[page]:
        if block.slow:
            continue
        printed = run.run(block)
        assert prints_as_shown(block.printed or "", printed), (
            f"{block.place} shows\n{block.printed}\nand prints\n{printed}\nIf that is right: "
            f"python -m tests.doc_pages docs/.../{page}.md"
        )


@pytest.mark.nightly
@pytest.mark.timeout(4 * SLOW_SECONDS)
@pytest.mark.parametrize("page", dict.fromkeys(Path(block.place).stem for block in SLOW))
def test_a_page_runs_to_its_end(page: str, tmp_path: Path) -> None:
    """With what takes minutes, whose figures depend on the machine."""
    run = PageRun(tmp_path)
    for block in BLOCKS[page]:
        run.run(block)


@pytest.mark.parametrize("block", SLOW, ids=lambda block: block.place)
def test_what_takes_minutes_would_be_understood(block: Block, tmp_path: Path) -> None:
    """A shell block by the programs' own parsers; of Python only the names are checked."""
    if block.kind == "python":
        modules = [n for n in ast.walk(ast.parse(block.code)) if isinstance(n, ast.ImportFrom)]
        for module in modules:
            exec(ast.unparse(module), {})
        return
    for words in commands(block):
        check_command(words)


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("0.93 found\n", "0.91 found\n", True),
        ("0.93 found\n", "0.89 found\n", False),
        ("0.93 found\n", "0.93 not found\n", False),
        ("left 120.0\n", "left 122.3\n", True),
        ("left 120.0\n", "left 122.5\n", False),
        ("3 frames\n", "4 frames\n", False),
        ("a  9.9\n", "a 10.1\n", True),
        ("-0.5\n", "0.5\n", False),
        ("one ... three\n", "one two three\n", True),
        ("", "0.5\n", False),
    ],
)
def test_what_counts_as_the_same_output(shown: str, printed: str, same: bool) -> None:
    assert prints_as_shown(shown, printed) == same


@pytest.mark.parametrize(
    "words",
    [
        ["grounder", "ground"],
        ["grounder", "bench", "--no-such-option"],
        ["python", "-m", "train.data", "--show", "many"],
        ["ls"],
    ],
)
def test_a_command_line_that_no_program_of_ours_would_take_is_refused(words: list[str]) -> None:
    with pytest.raises((SystemExit, AssertionError)):
        check_command(words)


def markdown_pages() -> list[Path]:
    return [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]


def anchors(page: Path) -> set[str]:
    """What a link to a part of the page may name: its headings, as GitHub and MkDocs write them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    plain = (re.sub(r"[^\w\- ]", "", heading).strip().lower() for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", markdown_pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        name, _, part = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name} links to {target}"
        assert not part or part in anchors(path), f"{page.name} links to {target}"


def test_every_command_is_on_the_page_of_the_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    known = set(re.findall(r"^    (\w+) ", capsys.readouterr().out, re.M))
    page = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    assert {"ground", "serve"} <= known
    assert set(re.findall(r"^\$ grounder (\w+) --help$", page, re.M)) == known


class Loads(HTMLParser):
    """What a browser fetches for a page by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "link" and found.get("rel") not in ("prev", "next", "canonical"):
            self.urls.append(found.get("href") or "")
        elif tag in ("script", "img", "iframe", "source", "video", "audio"):
            self.urls.append(found.get("src") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. A warning of MkDocs, as for a broken link, fails the build."""
    for name in ("mkdocs", "material", "mkdocstrings"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = run_process(command, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert loads.urls
        for url in loads.urls:
            assert not re.match(r"(https?:)?//", url), f"{page.name} loads {url}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", style.read_text())


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    pages = "".join(page.read_text() for page in (site / "reference").glob("*.html"))
    described = {name.rpartition(".")[2] for name in re.findall(r'id="(sdk\.[\w.]+)"', pages)}
    assert set(sdk.__all__) - {"__version__"} <= described


def test_the_search_finds_words_of_every_kind_of_page(site: Path) -> None:
    index = (site / "search/search_index.js").read_text(encoding="utf-8")
    for word in ("hysteresis", "to_supervision", "--workspace-mib", "JetPack"):
        assert word in index


def test_linked_files_outside_the_pages_come_along(site: Path) -> None:
    assert (site / "files/docker/Dockerfile.l4t").is_file()
    assert (site / "files/benchmarks/results/latency.json").is_file()


def test_what_contributing_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:sdk|train|export|tests|docs|requirements)/[\w/.-]*)`", text)
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []
