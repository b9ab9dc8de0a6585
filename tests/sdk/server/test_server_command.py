"""`grounder serve`: its options, where it listens, whom it answers."""

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from sdk import Grounder, GroundingError
from sdk.application import add_model_options
from sdk.cli import main
from sdk.server import serve
from tests.paths import ROOT
from tests.serving import ask, png, serving
from tests.waiting import WAIT, run_process

pytest_plugins = ["tests.serving"]

SERVE = """
import argparse, sys
sys.path.insert(0, {root!r})
from sdk.application import add_model_options, report_errors
from sdk.server import serve
parser = argparse.ArgumentParser()
serve.add_arguments(parser)
add_model_options(parser)
args = parser.parse_args()
sys.exit(report_errors(lambda: serve.serve(serve.make_app(args), args)))
"""


def test_on_loopback_other_host_names_are_refused(watched_grounder: Grounder) -> None:
    """A page elsewhere may let its own name point to 127.0.0.1."""
    with serving(watched_grounder, hosts=["127.0.0.1", "localhost"]) as address:
        assert httpx.get(f"{address}/healthz").status_code == 200
        for host, status in (("localhost:1", 200), ("evil.example", 400), ("", 400)):
            response = httpx.get(f"{address}/healthz", headers={"Host": host})
            assert response.status_code == status


def test_named_hosts_are_the_only_ones_elsewhere_too(tiny_bundle: Path) -> None:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    add_model_options(parser)
    options = ["--host", "0.0.0.0", "--bundle", str(tiny_bundle)]
    for more, status in (([], 200), (["--allow-host", "example.org"], 400)):
        app = serve.make_app(parser.parse_args([*options, *more]))
        with TestClient(app) as client:
            answer = client.get("/healthz", headers={"Host": "evil.example"})
            assert answer.status_code == status


@pytest.mark.parametrize("number", ["nan", "inf", "0", "-1"])
@pytest.mark.parametrize("option", ["--max-mib", "--max-megapixels"])
def test_limits_that_are_none(option: str, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", f"{option}={number}"]) == 2
    error = capsys.readouterr().err
    assert f"{option}: expected a number from 0.001" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("example.org", False),
    ],
)
def test_what_counts_as_loopback(host: str, loopback: bool) -> None:
    assert serve.is_loopback(host) == loopback


def test_it_listens_on_loopback_unless_told() -> None:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    assert serve.is_loopback(parser.parse_args([]).host)


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """asyncio sets TCP_NODELAY only on sockets that name their protocol."""
    with serve.listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_a_port_in_use_is_explained() -> None:
    with serve.listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(GroundingError, match=f"port {port}: .*choose another --host or --port"):
            serve.listen("127.0.0.1", port)
    with pytest.raises(GroundingError, match="cannot listen"):
        serve.listen("127.0.0.1", 70_000)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("host", "token"), [("127.0.0.1", ""), ("0.0.0.0", ""), ("0.0.0.0", "sixteen-characters")]
)
def test_the_command_serves_until_interrupted(
    tiny_bundle: Path, frame: NDArray[np.uint8], host: str, token: str
) -> None:
    code = SERVE.format(root=str(ROOT))
    options = ["--bundle", str(tiny_bundle), "--device", "cpu", "--host", host, "--port", "0"]
    environment = {**os.environ, **({"GROUNDER_TOKEN": token} if token else {})}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *options], stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        log = ""
        while "serving on" not in log:
            line = process.stderr.readline()
            assert line, log
            log += line
        port = re.search(r"serving on http://[\d.]+:(\d+)", log)[1]
        answer = ask(f"http://127.0.0.1:{port}", png(frame), ["cat"])
        assert answer.status_code == (401 if token else 200)
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=WAIT)[1]
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert ("asks for no token" in log) == (host != "127.0.0.1" and not token)
    assert ("encrypts nothing" in log) == (host != "127.0.0.1")


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "python_multipart", "PIL"])
def test_a_missing_package_is_explained(tiny_bundle: Path, package: str) -> None:
    block = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"blocked: {{name}}")
sys.meta_path.insert(0, Block())
sys.path.insert(0, {str(ROOT)!r})
import sdk, sdk.cli, sdk.server, sdk.grounder
"""
    options = ["--bundle", str(tiny_bundle), "--port", "0"]
    done = run_process([sys.executable, "-c", block + SERVE.format(root=str(ROOT)), *options])
    assert done.returncode == 2
    assert done.stderr.startswith("error: `grounder serve` needs a package")
    assert "Fix: pip install fastapi" in done.stderr
