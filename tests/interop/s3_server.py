"""Run a command with moto's S3 server on loopback, which tests of runs in an object store then use: ``python s3_server.py COMMAND...``."""

from __future__ import annotations

import os
import subprocess
import sys

import boto3
from moto.server import ThreadedMotoServer


def main(command: list[str]) -> int:
    """The command's status."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "nobodys-key",
        "AWS_SECRET_ACCESS_KEY": "nobodys-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "EVALKIT_TEST_STORE": "s3://bucket",
    }
    try:
        boto3.client("s3").create_bucket(Bucket="bucket")
        return subprocess.run(command, check=False).returncode
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
