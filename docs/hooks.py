"""What MkDocs does not do by itself, called by it while it builds the site (see mkdocs.yml)."""

import os
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = re.compile(r"\[([^\]]+)\]\((\.\./[^)#]+)\)")
HELP = re.compile(r"^```console\n\$ grounder(.*) --help\n```$", re.M)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Carry linked files of the repository along, and let `--help` be answered."""
    markdown = OUTSIDE.sub(lambda link: carry(link, page, config, files), markdown)
    return HELP.sub(lambda call: f"```text\n{help_of(call[1].split())}```", markdown)


def carry(link: re.Match[str], page: Page, config: MkDocsConfig, files: Files) -> str:
    """A link to a file outside docs/ as one to its copy in the site.

    Of a folder only the name, and of a page in Markdown, which MkDocs would build.
    """
    source = (Path(config.docs_dir) / page.file.src_uri).parent / link[2]
    source = source.resolve()
    if source.is_relative_to(config.docs_dir):
        return link[0]
    if not source.is_file() or source.suffix == ".md":
        return link[1]
    uri = f"files/{source.relative_to(ROOT).as_posix()}"
    if files.get_file_from_path(uri) is None:
        files.append(File.generated(config, uri, abs_src_path=str(source)))
    return f"[{link[1]}]({os.path.relpath(uri, os.path.dirname(page.file.src_uri))})"


def help_of(command: list[str]) -> str:
    """What `grounder ... --help` prints."""
    program = "from sdk.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *command, "--help"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "88", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
