"""Credentials that AWS keeps: secrets of Secrets Manager, and what a role or profile of this machine gives.

They are read from the network, so a process that serves keeps them in memory and reads them again in a thread of its
own (``refresh``), never on a request's path: what is rotated there is in use here within
``CREDENTIALS_REFRESH_SECONDS``, without a restart. While AWS cannot be reached what was read last goes on being used,
until it expires by itself. boto3 is loaded by the first reading, so only where such a credential is used.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from django.conf import settings

from apps.models.errors import CredentialUnavailable
from apps.models.models import Provider
from apps.models.types import CredentialSource

CONNECT_TIMEOUT_S: Final = 2
READ_TIMEOUT_S: Final = 5
RETRY_AFTER_S: Final = 10.0
# A session of an assumed role is renewed this long before it ends.
RENEW_BEFORE_S: Final = 600.0
SESSION_NAME: Final = "lobby"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CloudSource:
    """Where a credential is kept; equal for providers that share it. A secret's name, or else a role and a profile."""

    region: str
    secret: str = ""
    secret_key: str = ""
    role_arn: str = ""
    external_id: str = ""
    profile: str = ""

    @classmethod
    def of(cls, provider: Provider) -> CloudSource | None:
        """None where the provider's credential is not kept by AWS."""
        region = provider.settings.get("region", "")
        match provider.credential_source:
            case CredentialSource.SECRETS_MANAGER:
                name = provider.credential_secret
                at = name.split(":")[3] if name.startswith("arn:") and name.count(":") > 3 else ""
                return cls(at or settings.AWS_REGION or region, secret=name, secret_key=provider.credential_secret_key)
            case CredentialSource.AWS:
                names = ("role_arn", "external_id", "profile")
                return cls(region, **{name: provider.settings.get(name, "") for name in names})
        return None


@dataclass(frozen=True, slots=True)
class _Reading:
    value: str = field(repr=False)
    error: str
    due_at: float
    ends_at: float


def fetch_credential(source: CloudSource) -> tuple[str, float | None]:
    """The credential now, and when it ends (Unix seconds). Raises CredentialUnavailable, whose words hold no secret."""
    # Half a second and 30 MB: for those who need it.
    from boto3.session import Session as Boto3Session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S, retries={"total_max_attempts": 2})
    try:
        session = Boto3Session(profile_name=source.profile or None, region_name=source.region or None)
        if source.secret:
            answer = session.client("secretsmanager", config=config).get_secret_value(SecretId=source.secret)
            return _part(str(answer.get("SecretString") or ""), source), None
        if source.role_arn:
            wanted: dict[str, Any] = {"RoleArn": source.role_arn, "RoleSessionName": SESSION_NAME}
            if source.external_id:
                wanted["ExternalId"] = source.external_id
            given = session.client("sts", config=config).assume_role(**wanted)["Credentials"]
            key = aws_key(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
            return key, given["Expiration"].timestamp()
        credentials = session.get_credentials()
        if credentials is None:
            raise CredentialUnavailable(
                "This machine has no AWS credential: no role, no profile and nothing in its environment."
            )
        frozen = credentials.get_frozen_credentials()
        return aws_key(frozen.access_key, frozen.secret_key, frozen.token or ""), None
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        raise CredentialUnavailable(f"AWS refused to give the credential: {code or 'no reason given'}.") from None
    except BotoCoreError as error:
        raise CredentialUnavailable(
            f"AWS cannot be asked for the credential: {str(error).rstrip('.')[:200]}."
        ) from None


def aws_key(access_key: str, secret_key: str, token: str = "") -> str:
    """As the signing adapters read it from ``Target.credential``."""
    return json.dumps({"access_key": access_key, "secret_key": secret_key, "token": token}, separators=(",", ":"))


def as_aws_credential(text: str, access_key_id: str) -> str:
    """A secret of an AWS kind as the adapters read it: an access key pair, or a bearer token as it is.

    It may be the pair as JSON (in AWS's own names or ours), or the secret access key of ``access_key_id``.
    """
    try:
        pair = json.loads(text)
    except ValueError:
        pair = None
    if isinstance(pair, dict):
        access_key = pair.get("access_key") or pair.get("AccessKeyId") or access_key_id
        secret_key = pair.get("secret_key") or pair.get("SecretAccessKey") or ""
        token = pair.get("token") or pair.get("SessionToken") or ""
        if not (access_key and secret_key and all(isinstance(each, str) for each in (access_key, secret_key, token))):
            raise CredentialUnavailable("The secret is JSON without AccessKeyId and SecretAccessKey.")
        return aws_key(access_key, secret_key, token)
    return aws_key(access_key_id, text) if access_key_id else text


def _part(text: str, source: CloudSource) -> str:
    if not source.secret_key:
        return text
    try:
        part = json.loads(text).get(source.secret_key)
    except (ValueError, AttributeError):
        raise CredentialUnavailable(f"The secret {source.secret} is no JSON object.") from None
    if not isinstance(part, str) or not part:
        raise CredentialUnavailable(f"The secret {source.secret} has no text under {source.secret_key!r}.")
    return part


class CloudCredentials:
    """``read`` asks AWS if it has to; ``known`` never does. ``generation`` grows when a kept value has changed."""

    def __init__(self, fetch: Callable[[CloudSource], tuple[str, float | None]] = fetch_credential) -> None:
        self._fetch = fetch
        self._readings: dict[CloudSource, _Reading] = {}
        self._wanted: frozenset[CloudSource] = frozenset()
        self._lock = threading.Lock()
        self.generation = 0

    def read(self, source: CloudSource) -> str:
        """Blocks for some seconds at most. Raises CredentialUnavailable."""
        reading = self._readings.get(source)
        if reading is None or reading.due_at <= time.time():
            self._renew(source)
        return self.known(source)

    def known(self, source: CloudSource) -> str:
        """What was read last. Raises CredentialUnavailable."""
        reading = self._readings.get(source)
        if reading is None:
            raise CredentialUnavailable("The credential has not been read from AWS yet.")
        if not reading.value or reading.ends_at <= time.time():
            raise CredentialUnavailable(reading.error or "The credential has expired.")
        return reading.value

    def keep(self, sources: Iterable[CloudSource]) -> None:
        """These, and no others, are kept fresh by ``refresh``."""
        self._wanted = frozenset(sources)
        for source in set(self._readings) - self._wanted:
            self._readings.pop(source, None)

    @property
    def unread(self) -> bool:
        """Whether one that is to be kept was never asked for."""
        return any(source not in self._readings for source in self._wanted)

    def refresh(self) -> None:
        """Read again what is due. Blocks."""
        now = time.time()
        for source in self._wanted:
            reading = self._readings.get(source)
            if reading is None or reading.due_at <= now:
                self._renew(source)

    def _renew(self, source: CloudSource) -> None:
        with self._lock:
            before = self._readings.get(source)
            now = time.time()
            try:
                value, ends_at = self._fetch(source)
            except CredentialUnavailable as error:
                log.warning("credential_unreadable", secret=source.secret, role=source.role_arn, reason=error.message)
                kept, ends_at = (before.value, before.ends_at) if before else ("", now)
                self._readings[source] = _Reading(kept, error.message, now + RETRY_AFTER_S, ends_at)
                return
            due = now + settings.CREDENTIALS_REFRESH_SECONDS
            if ends_at is not None:
                due = max(ends_at - RENEW_BEFORE_S, now + RETRY_AFTER_S)
            self._readings[source] = _Reading(value, "", due, float("inf") if ends_at is None else ends_at)
            if before is None or before.value != value:
                self.generation += 1


CLOUD: Final = CloudCredentials()
"""This process's own."""
