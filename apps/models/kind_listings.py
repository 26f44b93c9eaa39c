"""The lists of models of Anthropic, Azure OpenAI and Amazon Bedrock, each read in its own way.

Sources: Anthropic's "List Models"; Azure OpenAI's data plane, "Deployments - List"; Amazon Bedrock's
ListFoundationModels and ListInferenceProfiles.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from apps.models.errors import DiscoveryFailed
from apps.models.names import is_model_name
from apps.models.types import Capability, ModelKind, ProviderKind
from apps.models.upstream_listing import (
    MAX_MODELS,
    ListedModel,
    Place,
    UpstreamListing,
    get,
    guess_capabilities,
    guess_kind,
    plain,
)

ANTHROPIC_VERSION: Final = "2023-06-01"
# The last version of Azure's data plane that lists deployments.
AZURE_DEPLOYMENTS: Final = "2023-03-15-preview"
MAX_PAGES: Final = 10

T = TypeVar("T")


class _Support(msgspec.Struct, frozen=True):
    supported: bool = False


class _AnthropicCapabilities(msgspec.Struct):
    image_input: _Support = _Support()
    structured_outputs: _Support = _Support()
    thinking: _Support = _Support()


class _AnthropicModel(msgspec.Struct):
    id: str
    display_name: str = ""
    max_input_tokens: int | None = None
    max_tokens: int | None = None
    capabilities: _AnthropicCapabilities | None = None

    def listed(self) -> ListedModel:
        return ListedModel(
            self.id,
            ModelKind.CHAT,
            "Anthropic",
            self.max_input_tokens or None,
            name=plain(self.display_name),
            capabilities=self._capabilities(),
            max_output_tokens=self.max_tokens or None,
        )

    def _capabilities(self) -> tuple[str, ...]:
        """Empty where the list does not tell."""
        if self.capabilities is None:
            return ()
        told = {
            Capability.VISION: self.capabilities.image_input,
            Capability.JSON_SCHEMA: self.capabilities.structured_outputs,
            Capability.REASONING: self.capabilities.thinking,
        }
        has = [capability.value for capability, support in told.items() if support.supported]
        return (Capability.STREAMING.value, Capability.TOOLS.value, *has)


class _AnthropicPage(msgspec.Struct):
    data: list[_AnthropicModel]
    has_more: bool = False
    last_id: str | None = None


class _Deployment(msgspec.Struct):
    id: str
    model: str = ""
    status: str = "succeeded"


class _Deployments(msgspec.Struct):
    data: list[_Deployment]


class _Lifecycle(msgspec.Struct):
    status: str = "ACTIVE"


class _FoundationModel(msgspec.Struct, rename="camel"):
    model_id: str
    model_name: str = ""
    provider_name: str = ""
    input_modalities: list[str] = []
    output_modalities: list[str] = []
    response_streaming_supported: bool | None = None
    inference_types_supported: list[str] = []
    model_lifecycle: _Lifecycle = msgspec.field(default_factory=_Lifecycle)


class _FoundationModels(msgspec.Struct, rename="camel"):
    model_summaries: list[_FoundationModel]


class _ProfileModel(msgspec.Struct, rename="camel"):
    model_arn: str = ""


class _Profile(msgspec.Struct, rename="camel"):
    inference_profile_id: str
    models: list[_ProfileModel] = []
    status: str = "ACTIVE"


class _Profiles(msgspec.Struct, rename="camel"):
    inference_profile_summaries: list[_Profile] = []


def read_anthropic(place: Place) -> UpstreamListing:
    headers = {"x-api-key": place.credential or "", "anthropic-version": ANTHROPIC_VERSION}
    found: dict[str, ListedModel] = {}
    after, skipped = "", 0
    for _ in range(MAX_PAGES):
        query = urlencode({"limit": 1000, **({"after_id": after} if after else {})})
        page = _parsed(get(place, f"{place.base_url}/v1/models?{query}", headers), _AnthropicPage)
        for entry in page.data[:MAX_MODELS]:
            if not is_model_name(entry.id):
                skipped += 1
                continue
            found[entry.id] = entry.listed()
        if not page.has_more or not page.last_id:
            break
        after = page.last_id
    return UpstreamListing(tuple(found.values()), skipped)


def read_azure(place: Place) -> UpstreamListing:
    """The resource's deployments: they, and not the models behind them, are what can be called."""
    address = f"{place.base_url}/openai/deployments?api-version={AZURE_DEPLOYMENTS}"
    listed, skipped = [], 0
    for entry in _parsed(get(place, address, {"api-key": place.credential or ""}), _Deployments).data[:MAX_MODELS]:
        kind = guess_kind(entry.model or entry.id)
        if kind is None or entry.status != "succeeded" or not is_model_name(entry.id):
            skipped += 1
            continue
        listed.append(
            ListedModel(
                entry.id,
                kind,
                "OpenAI",
                priced_as=entry.model,
                capabilities=tuple(guess_capabilities(entry.model or entry.id, kind)),
            )
        )
    return UpstreamListing(tuple(listed), skipped)


def read_bedrock(place: Place) -> UpstreamListing:
    """Models that can be called on demand by their own id, the others by an inference profile of the region's."""
    base = control_plane(place.base_url)
    models = _parsed(_get_bedrock(place, f"{base}/foundation-models"), _FoundationModels).model_summaries
    try:
        answer = _get_bedrock(place, f"{base}/inference-profiles?maxResults=1000&type=SYSTEM_DEFINED")
        profiles = _profiles(_parsed(answer, _Profiles))
    except DiscoveryFailed:
        profiles = {}  # an older policy may allow the one list and not the other
    listed, skipped = [], 0
    for entry in models[:MAX_MODELS]:
        kind = _bedrock_kind(entry)
        on_demand = "ON_DEMAND" in entry.inference_types_supported
        name = entry.model_id if on_demand else profiles.get(entry.model_id, "")
        if kind is None or not name or entry.model_lifecycle.status != "ACTIVE" or not is_model_name(name):
            skipped += 1
            continue
        listed.append(
            ListedModel(
                name,
                kind,
                plain(entry.provider_name),
                name=plain(entry.model_name),
                priced_as=entry.model_id,
                capabilities=_bedrock_capabilities(entry, kind),
            )
        )
    return UpstreamListing(tuple(listed), skipped)


def control_plane(base_url: str) -> str:
    """Where Bedrock tells of its models: beside where it answers. An address of one's own serves both."""
    parts = urlsplit(base_url)
    if not parts.netloc.startswith("bedrock-runtime"):
        return base_url
    return f"{parts.scheme}://{parts.netloc.replace('bedrock-runtime', 'bedrock', 1)}"


def _get_bedrock(place: Place, address: str) -> bytes:
    return get(place, address, _bedrock_headers(place, address))


def _bedrock_headers(place: Place, address: str) -> dict[str, str]:
    try:
        pair = json.loads(place.credential or "")
    except ValueError:
        return {"Authorization": f"Bearer {place.credential}"}
    # Only for those who use Bedrock.
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest(method="GET", url=address, headers={"Host": urlsplit(address).netloc})
    credentials = Credentials(pair["access_key"], pair["secret_key"], pair["token"] or None)
    SigV4Auth(credentials, "bedrock", place.settings.get("region", "")).add_auth(request)
    return {name: value for name, value in request.headers.items() if name.lower() != "host"}


def _profiles(profiles: _Profiles) -> dict[str, str]:
    """The id of the profile to call a model by, by the model's id; a region's own before a global one."""
    found: dict[str, str] = {}
    for profile in profiles.inference_profile_summaries:
        if profile.status != "ACTIVE":
            continue
        for model in profile.models:
            model_id = model.model_arn.rpartition("/")[2]
            if model_id not in found or found[model_id].startswith("global."):
                found[model_id] = profile.inference_profile_id
    return found


def _bedrock_kind(entry: _FoundationModel) -> ModelKind | None:
    if entry.output_modalities == ["EMBEDDING"]:
        return ModelKind.EMBEDDING
    chats = "TEXT" in entry.output_modalities and "TEXT" in entry.input_modalities
    return ModelKind.CHAT if chats and guess_kind(entry.model_id) == ModelKind.CHAT else None


def _bedrock_capabilities(entry: _FoundationModel, kind: ModelKind) -> tuple[str, ...]:
    found = set(guess_capabilities(entry.model_id, kind))
    if kind == ModelKind.CHAT:
        if not entry.response_streaming_supported:
            found.discard(Capability.STREAMING)
        if "IMAGE" in entry.input_modalities:
            found.add(Capability.VISION)
    return tuple(sorted(found))


def _parsed(body: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise DiscoveryFailed("The answer is not a list of models.") from None


READERS: Final[Mapping[str, Callable[[Place], UpstreamListing]]] = MappingProxyType(
    {
        ProviderKind.ANTHROPIC: read_anthropic,
        ProviderKind.AZURE_OPENAI: read_azure,
        ProviderKind.BEDROCK: read_bedrock,
    }
)
