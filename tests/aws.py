"""The official SDK of AWS, pointed at a server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config

REGION = "eu-central-1"


@contextmanager
def sdk(service: str, endpoint_url: str, access_key_id: str, secret_access_key: str, **options: Any) -> Iterator[Any]:
    """A client that does not try again."""
    client = boto3.client(
        service,
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        config=Config(retries={"max_attempts": 0}, **options),
    )
    try:
        yield client
    finally:
        client.close()
