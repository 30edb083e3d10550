"""Whom a connection trusts: a file that the user names, what the environment says, else the system's certificates."""

from __future__ import annotations

import os
import platform
import ssl
from pathlib import Path

from evalkit.errors import EndpointError

_USUAL_PLACES = (
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
)
"""Where Linux distributions keep them; a Python that was built elsewhere looks in the wrong place."""


def trusting(bundle: str | None) -> ssl.SSLContext:
    """A context that trusts the certificates in the file `bundle`; of ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``, else the system's, where it is None.

    Raises:
        EndpointError: `bundle` is no file of certificates.
        OSError: what the environment names is none.
    """
    if bundle is not None:
        try:
            return ssl.create_default_context(cafile=bundle)
        except (OSError, ssl.SSLError) as fault:
            raise EndpointError(f"endpoint.verify: {bundle}: not a file of certificates: {fault}") from None
    if file := os.environ.get("SSL_CERT_FILE"):
        return ssl.create_default_context(cafile=file)
    if folder := os.environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context(capath=folder)
    if platform.system() in ("Windows", "Darwin"):
        import truststore  # they keep certificates where OpenSSL does not look

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not paths.cafile and not _holds_certificates(paths.capath):
        usual = next((one for one in _USUAL_PLACES if Path(one).is_file()), None)
        if usual is not None:
            context.load_verify_locations(usual)
    return context


def _holds_certificates(folder: str) -> bool:
    """Whether OpenSSL finds any there: it looks them up by the hash of their names."""
    return bool(folder) and any(len(one.stem) == 8 and one.suffix[1:].isdigit() for one in Path(folder).iterdir())
