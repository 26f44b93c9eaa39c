"""What the operator's environment offers: providers to register, and what is only half there.

Reads variables and settings, and nothing else; ``discovery.py`` registers what is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from django.conf import settings

from apps.models.provider_settings import address_of
from apps.models.types import ProviderKind

# Any of these says that this machine has an AWS credential.
AWS_VARIABLES: Final = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


class FoundStatus(StrEnum):
    READY = "ready"
    UNREACHABLE = "unreachable"
    DISABLED = "disabled"
    GONE = "gone"
    UNUSED = "unused"


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that the environment offers, for the banner. ``models`` counts those callable through it now."""

    name: str
    status: FoundStatus
    models: int = 0
    message: str = ""

    @property
    def line(self) -> str:
        count = f"{self.models} model{'' if self.models == 1 else 's'}"
        match self.status:
            case FoundStatus.READY:
                return f"{self.name}: {count}{f' ({self.message})' if self.message else ''}"
            case FoundStatus.UNREACHABLE:
                kept = (
                    f"keeping the {count} known"
                    if self.models
                    else "no models known yet; it is asked again each minute"
                )
                return f"{self.name}: {self.message.rstrip('.')}; {kept}"
        return f"{self.name}: {self.message.rstrip('.')}"


@dataclass(frozen=True, slots=True)
class Candidate:
    slug: str
    name: str
    base_url: str
    credential_env: str = ""
    kind: ProviderKind = ProviderKind.OPENAI_COMPATIBLE
    settings: Mapping[str, str] = field(default_factory=dict)
    from_aws: bool = False  # the credential is what this machine's role or profile gives
    # A guess that nobody asked for: when nothing answers there, there is nothing to report.
    is_probe: bool = False


def candidates_of(environ: Mapping[str, str]) -> list[Candidate]:
    """In the order of their priority where two offer the same model."""
    candidates = []
    if environ.get("OPENAI_API_KEY", "").strip():
        base_url = settings.OPENAI_BASE_URL.rstrip("/")
        host = base_url.partition("://")[2].partition("/")[0]
        own = host == "api.openai.com"
        name = "OpenAI" if own else f"OpenAI-compatible ({host})"
        kind = ProviderKind.OPENAI if own else ProviderKind.OPENAI_COMPATIBLE
        candidates.append(Candidate("openai", name, base_url, credential_env="OPENAI_API_KEY", kind=kind))
    candidates += _cloud_candidates(environ)
    if settings.OLLAMA_BASE_URL:
        candidates.append(Candidate("ollama", "Ollama", settings.OLLAMA_BASE_URL.rstrip("/"), is_probe=True))
    if settings.VLLM_BASE_URL:
        key = "VLLM_API_KEY" if environ.get("VLLM_API_KEY", "").strip() else ""
        candidates.append(
            Candidate("vllm", "vLLM", settings.VLLM_BASE_URL.rstrip("/"), credential_env=key, is_probe=True)
        )
    return candidates


def _cloud_candidates(environ: Mapping[str, str]) -> list[Candidate]:
    def has(name: str) -> bool:
        return bool(environ.get(name, "").strip())

    found = []
    if has("ANTHROPIC_API_KEY"):
        base_url = settings.ANTHROPIC_BASE_URL.rstrip("/").removesuffix("/v1")
        found.append(Candidate("anthropic", "Anthropic", base_url, "ANTHROPIC_API_KEY", ProviderKind.ANTHROPIC))
    if has("AZURE_OPENAI_API_KEY") and settings.AZURE_OPENAI_ENDPOINT:
        version = settings.AZURE_OPENAI_API_VERSION
        found.append(
            Candidate(
                "azure-openai",
                "Azure OpenAI",
                settings.AZURE_OPENAI_ENDPOINT.rstrip("/"),
                "AZURE_OPENAI_API_KEY",
                ProviderKind.AZURE_OPENAI,
                {"api_version": version} if version else {},
            )
        )
    if has("GEMINI_API_KEY"):
        base_url = settings.GEMINI_BASE_URL.rstrip("/")
        found.append(Candidate("gemini", "Google Gemini", base_url, "GEMINI_API_KEY", ProviderKind.GEMINI))
    bearer = has("AWS_BEARER_TOKEN_BEDROCK")
    if settings.AWS_REGION and (bearer or any(map(has, AWS_VARIABLES))):
        place = {"region": settings.AWS_REGION}
        found.append(
            Candidate(
                "bedrock",
                f"Amazon Bedrock ({settings.AWS_REGION})",
                settings.AWS_ENDPOINT_URL_BEDROCK_RUNTIME.rstrip("/") or address_of(ProviderKind.BEDROCK, place),
                "AWS_BEARER_TOKEN_BEDROCK" if bearer else "",
                ProviderKind.BEDROCK,
                place,
                from_aws=not bearer,
            )
        )
    return found


def half_there(environ: Mapping[str, str]) -> list[Found]:
    """What is half there."""
    found = []
    aws = [name for name in (*AWS_VARIABLES, "AWS_BEARER_TOKEN_BEDROCK") if environ.get(name, "").strip()]
    if aws and not settings.AWS_REGION:
        found.append(Found(f"Amazon Bedrock ({aws[0]})", FoundStatus.UNUSED, message="set AWS_REGION to use it"))
    if environ.get("AZURE_OPENAI_API_KEY", "").strip() and not settings.AZURE_OPENAI_ENDPOINT:
        message = "set AZURE_OPENAI_ENDPOINT to use it"
        found.append(Found("Azure OpenAI (AZURE_OPENAI_API_KEY)", FoundStatus.UNUSED, message=message))
    return found
