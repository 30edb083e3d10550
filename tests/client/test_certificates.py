"""Whom a connection trusts: a file, what the environment says, else the system."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from evalkit.client.certificates import trusting
from evalkit.errors import EndpointError


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A file with one certificate of the system."""
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not found:
        pytest.skip("this system has no certificates")
    path = tmp_path / "one.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(found[0]))
    return path


def trusted(context: ssl.SSLContext) -> int:
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    return context.cert_store_stats()["x509_ca"]


def test_a_file_of_certificates_is_all_that_is_trusted(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    assert trusted(trusting(str(bundle))) == 1


def test_the_environment_names_what_is_trusted(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert trusted(trusting(None)) == 1
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    with pytest.raises(FileNotFoundError):
        trusting(None)
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_DIR", str(bundle.parent))
    assert trusted(trusting(None)) == 0, "a folder is read when a certificate is asked for"


def test_else_the_system_is_trusted(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 (it tells that there are any)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert trusted(trusting(None)) > 1


def test_a_file_without_certificates_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("nothing")
    for path in (tmp_path / "x.pem", tmp_path / "missing.pem"):
        with pytest.raises(EndpointError, match="not a file of certificates"):
            trusting(str(path))
