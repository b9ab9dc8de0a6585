"""`grounder serve` over TLS, and what it warns of."""

import ssl
from pathlib import Path

import httpx
import numpy as np
import pytest
import trustme
from numpy.typing import NDArray

from sdk import Grounder, GroundingError
from sdk.server import Limits, create_app, serve
from tests.sdk.server.test_server_strangers import connect
from tests.serving import png, results_of, serving

pytest_plugins = ["tests.serving"]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """Files of a certificate for 127.0.0.1 and of its key; who signed it is beside them."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    made = authority.issue_cert("127.0.0.1")
    made.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    made.private_key_pem.write_to_path(tmp_path / "key.pem")
    return str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")


def test_it_answers_over_tls(
    watched_grounder: Grounder, frame: NDArray[np.uint8], certificate: tuple[str, str]
) -> None:
    fields = {"image": ("x", png(frame)), "phrases": (None, "cat")}
    with serving(watched_grounder, tls=certificate) as address:
        assert address.startswith("https://127.0.0.1:")
        authority = Path(certificate[0]).with_name("authority.pem")
        trust = ssl.create_default_context(cafile=authority)
        origin = {"Origin": address}
        with httpx.Client(verify=trust, timeout=30, headers=origin) as client:
            assert results_of(client.post(f"{address}/v1/ground", files=fields))
        with pytest.raises(httpx.TransportError):
            httpx.get(address.replace("https", "http"))


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00"])
def test_a_handshake_must_come_in_time(
    watched_grounder: Grounder, certificate: tuple[str, str], sent: bytes
) -> None:
    limits = Limits(seconds=0.3)
    with serving(watched_grounder, limits, tls=certificate) as address, connect(address) as client:
        client.sendall(sent)
        assert client.recv(99) == b""


def test_files_that_are_no_certificate(
    watched_grounder: Grounder, certificate: tuple[str, str]
) -> None:
    app = create_app(watched_grounder)
    with pytest.raises(GroundingError, match="--tls-key: expected --tls-cert"):
        serve.make_server(app, None, certificate[1])
    for files in ((certificate[1], certificate[1]), ("none", "none"), (certificate[0], None)):
        with pytest.raises(GroundingError, match="expected a PEM certificate and its key"):
            serve.make_server(app, *files)
