"""What each kind of provider needs to know: its address, its settings, those of its endpoints, and its credentials.

One table for every face: the onboarding form, the API, the admin, the snapshot and the adapters read it. All settings
are short texts and none is a secret: they are shown to whoever may see the registry. An endpoint's setting covers the
provider's own of the same name (``merged``), and that is what reaches ``Target.settings``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from apps.models.types import SANDBOX_URL, CredentialSource, ProviderKind
from apps.tenants.errors import Invalid

MAX_LENGTH: Final = 500


@dataclass(frozen=True, slots=True)
class Setting:
    """``pattern`` is what its whole text has to match; ``wanted`` says it in words."""

    name: str
    label: str
    help: str
    required: bool = False
    choices: tuple[tuple[str, str], ...] = ()
    pattern: str = ""
    wanted: str = ""
    default: str = ""
    example: str = ""


@dataclass(frozen=True, slots=True)
class KindFacts:
    """``address`` may name settings in braces; empty: it has to be entered."""

    kind: ProviderKind
    summary: str
    address: str
    address_help: str
    model_label: str
    model_help: str
    model_example: str
    credential_label: str
    credential_help: str
    sources: tuple[CredentialSource, ...]
    settings: tuple[Setting, ...] = ()
    endpoint_settings: tuple[Setting, ...] = ()
    list_prices: str = ""
    """The price package's name of who sells there, where the address alone does not tell."""
    lists_models: bool = True


_KEY: Final = (CredentialSource.DATABASE, CredentialSource.ENVIRONMENT, CredentialSource.SECRETS_MANAGER)
_AWS: Final = (CredentialSource.AWS, *_KEY)

_REGION = Setting(
    "region",
    "Region",
    "Where the calls go and are signed for.",
    required=True,
    pattern=r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}",
    wanted="Write it as eu-central-1.",
    example="eu-central-1",
)
_PLACE = Setting(
    "region",
    "Region where it runs",
    "Tenants with allowed regions can use it only if it is one of theirs: without a region they cannot.",
    pattern=r"[a-z0-9-]{2,30}",
    wanted="Write it as eu-central-1, as the tenants' allowed regions are written.",
    example="eu-central-1",
)
_ACCESS_KEY = Setting(
    "access_key_id",
    "Access key id",
    "Goes with a secret access key as the credential. Leave it empty for a role, a profile or a Bedrock API key.",
    pattern=r"[A-Z0-9]{16,128}",
    wanted="Write it as AWS shows it, for example AKIAIOSFODNN7EXAMPLE.",
    example="AKIAIOSFODNN7EXAMPLE",
)
_ROLE = Setting(
    "role_arn",
    "Role to assume",
    "With the credential source AWS role or profile. Empty: whatever role this machine has.",
    pattern=r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+",
    wanted="Write it as arn:aws:iam::123456789012:role/lobby.",
    example="arn:aws:iam::123456789012:role/lobby",
)
_EXTERNAL_ID = Setting(
    "external_id",
    "External id",
    "Where the role asks for one.",
    pattern=r"[\w+=,.@:/-]{2,200}",
    wanted="Two to 200 letters, digits and +=,.@:/-.",
)
_PROFILE = Setting(
    "profile",
    "Profile",
    "Of the AWS configuration of this machine. Empty: the environment, then the instance's role.",
    pattern=r"[\w@.+-]{1,100}",
    wanted="A profile's name, without blanks.",
)
_GUARDRAIL = (
    Setting(
        "guardrail_id",
        "Guardrail",
        "A Bedrock Guardrail's id or ARN that every call goes through.",
        pattern=r"[\w:/.-]{1,200}",
        wanted="A guardrail's id or ARN.",
    ),
    Setting(
        "guardrail_version",
        "Guardrail's version",
        "A number, or DRAFT.",
        pattern=r"[0-9]{1,8}|DRAFT",
        wanted="A number, or DRAFT.",
        example="1",
    ),
)
_API_VERSION = Setting(
    "api_version",
    "API version",
    "Of Azure's API, a date.",
    pattern=r"[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?|v1|preview",
    wanted="Write it as 2024-10-21.",
    default="2024-10-21",
    example="2024-10-21",
)
_OPENAI_ENDPOINT = (
    Setting(
        "max_tokens_field",
        "Field of the longest answer",
        "How this server calls a chat answer's maximum.",
        choices=(("max_completion_tokens", "max_completion_tokens"), ("max_tokens", "max_tokens")),
    ),
    Setting(
        "translate_into",
        "What other APIs' calls become",
        "The API that calls are translated into: some models know responses alone.",
        choices=(("chat.completions", "Chat completions"), ("responses", "Responses")),
    ),
    Setting(
        "native",
        "APIs it knows itself",
        "Operations besides chat.completions that pass untouched, comma separated, for example responses.",
        pattern=r"[a-z_.]+(\s*,\s*[a-z_.]+)*",
        wanted="Operations, comma separated, for example responses.",
    ),
)

_THINKING = Setting(
    "thinking",
    "How it is told to think",
    "Where the name does not tell the model's generation: from Claude 4.6 on by effort, before by budget.",
    choices=(("adaptive", "By effort"), ("budget", "By a budget of tokens")),
)
_SAMPLING = Setting(
    "sampling",
    "Temperature, top_p and top_k",
    "Where the name does not tell the model's generation: from Claude 4.7 on they are refused.",
    choices=(("taken", "It takes them"), ("refused", "It refuses them")),
)

_TOP_K = Setting(
    "accepts",
    "What it takes beyond OpenAI's",
    "Parameters of other APIs that this server knows.",
    choices=(("top_k", "top_k (vLLM and others)"),),
)
_FAMILY = Setting(
    "family",
    "Who made the model",
    "Where its id does not tell: an ARN of your own, an imported model.",
    pattern=r"[a-z0-9]{1,30}",
    wanted="As model ids begin, for example anthropic, amazon or meta.",
    example="anthropic",
)
_STRUCTURED = Setting(
    "structured_output",
    "How a JSON schema is kept",
    "Empty: by the model's own means where its capabilities name them, else by a tool that it has to call.",
    choices=(("native", "By the model's own means"), ("tool", "By a tool that it has to call")),
)
_INPUT_TYPE = Setting(
    "input_type",
    "What embeddings are for",
    "For Cohere's models, where a caller does not say.",
    choices=(
        ("search_document", "Documents to be found"),
        ("search_query", "Queries"),
        ("classification", "Classification"),
        ("clustering", "Clustering"),
    ),
)
_CHAT_TEMPLATE = Setting(
    "chat_template",
    "Chat template",
    "For TGI, which takes one text: how the model was taught to read turns.",
    choices=(("plain", "Plain"), ("chatml", "ChatML"), ("llama3", "Llama 3"), ("mistral", "Mistral")),
)

_KINDS: tuple[KindFacts, ...] = (
    KindFacts(
        kind=ProviderKind.OPENAI,
        summary="OpenAI's own API, with a key of a project there.",
        address="https://api.openai.com/v1",
        address_help="Leave it empty for OpenAI's own, unless calls go through a proxy.",
        model_label="Model",
        model_help="Write the model's name as OpenAI does, for example gpt-4.1-mini.",
        model_example="gpt-4.1-mini",
        credential_label="API key",
        credential_help="Make a key at platform.openai.com, under API keys. It begins with sk-.",
        sources=_KEY,
        settings=(_PLACE,),
        endpoint_settings=_OPENAI_ENDPOINT,
        list_prices="openai",
    ),
    KindFacts(
        kind=ProviderKind.AZURE_OPENAI,
        summary="OpenAI's models in your own Azure subscription.",
        address="",
        address_help="Enter the resource's endpoint, for example https://acme.openai.azure.com.",
        model_label="Deployment",
        model_help="Write the name that you gave the deployment, not the model's own.",
        model_example="gpt-4-1-mini-eu",
        credential_label="Key",
        credential_help="Copy key 1 or key 2 of the resource, under Keys and Endpoint.",
        sources=_KEY,
        settings=(_PLACE, _API_VERSION),
        endpoint_settings=(_API_VERSION,),
        list_prices="azure",
    ),
    KindFacts(
        kind=ProviderKind.ANTHROPIC,
        summary="Anthropic's own API.",
        address="https://api.anthropic.com",
        address_help="Leave it empty for Anthropic's own. Another one is entered without /v1.",
        model_label="Model",
        model_help="Write the model's name as Anthropic does, for example claude-sonnet-4-5.",
        model_example="claude-sonnet-4-5",
        credential_label="API key",
        credential_help="Make a key at console.anthropic.com, under API keys. It begins with sk-ant-.",
        sources=_KEY,
        settings=(_PLACE,),
        endpoint_settings=(_THINKING, _SAMPLING),
        list_prices="anthropic",
    ),
    KindFacts(
        kind=ProviderKind.BEDROCK,
        summary="Models of many makers in your own AWS account.",
        address="https://bedrock-runtime.{region}.amazonaws.com",
        address_help="Leave it empty for the region's own, unless calls go through a VPC endpoint.",
        model_label="Model id",
        model_help="Write the model's id, an inference profile's id, or the ARN of either.",
        model_example="eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
        credential_label="Secret access key or Bedrock API key",
        credential_help="Enter the secret access key of the access key id above; without an id, a Bedrock API key.",
        sources=_AWS,
        settings=(_REGION, _ACCESS_KEY, _ROLE, _EXTERNAL_ID, _PROFILE, *_GUARDRAIL),
        endpoint_settings=(*_GUARDRAIL, _FAMILY, _STRUCTURED, _THINKING, _SAMPLING, _INPUT_TYPE),
        list_prices="aws",
    ),
    KindFacts(
        kind=ProviderKind.SAGEMAKER,
        summary="Models that you host on SageMaker endpoints.",
        address="https://runtime.sagemaker.{region}.amazonaws.com",
        address_help="Leave it empty for the region's own, unless calls go through a VPC endpoint.",
        model_label="Endpoint's name",
        model_help="Write the endpoint's name as SageMaker shows it.",
        model_example="llama-3-3-70b",
        credential_label="Secret access key",
        credential_help="Enter the secret access key of the access key id above.",
        sources=_AWS,
        settings=(_REGION, _ACCESS_KEY, _ROLE, _EXTERNAL_ID, _PROFILE),
        endpoint_settings=(
            Setting(
                "container",
                "What the container speaks",
                "OpenAI's chat API (vLLM, LMI), or Hugging Face's own (TGI).",
                choices=(("openai", "OpenAI's chat API"), ("tgi", "TGI's generate API")),
                default="openai",
            ),
            Setting(
                "inference_component",
                "Inference component",
                "Where several models share the endpoint.",
                pattern=r"[A-Za-z0-9-]{1,63}",
                wanted="A component's name: letters, digits and hyphens.",
            ),
            Setting(
                "variant",
                "Variant",
                "Where the endpoint has several, and one of them is meant.",
                pattern=r"[A-Za-z0-9-]{1,63}",
                wanted="A variant's name: letters, digits and hyphens.",
            ),
            _CHAT_TEMPLATE,
            _OPENAI_ENDPOINT[0],
        ),
        lists_models=False,
    ),
    KindFacts(
        kind=ProviderKind.GEMINI,
        summary="Google's models by an AI Studio key, through Google's OpenAI-compatible surface.",
        address="https://generativelanguage.googleapis.com/v1beta/openai",
        address_help="Leave it empty for Google's own, unless calls go through a proxy.",
        model_label="Model",
        model_help="Write the model's name as Google does, without models/ in front.",
        model_example="gemini-2.5-flash",
        credential_label="API key",
        credential_help="Make a key at aistudio.google.com, under Get API key.",
        sources=_KEY,
        settings=(_PLACE,),
        list_prices="google",
    ),
    KindFacts(
        kind=ProviderKind.OPENAI_COMPATIBLE,
        summary="vLLM, Ollama, LM Studio, a router: any server that speaks OpenAI's chat API.",
        address="",
        address_help="Enter what comes before /chat/completions, for example http://localhost:11434/v1.",
        model_label="Model",
        model_help="Write the model's name as the server does, for example llama3.1:8b.",
        model_example="llama3.1:8b",
        credential_label="API key",
        credential_help="Enter whatever the server expects as a bearer token.",
        sources=(CredentialSource.NONE, *_KEY),
        settings=(_PLACE,),
        endpoint_settings=(*_OPENAI_ENDPOINT, _TOP_K),
    ),
    KindFacts(
        kind=ProviderKind.SANDBOX,
        summary="Built in and simulated: no account, no cost.",
        address=SANDBOX_URL,
        address_help="It is no server.",
        model_label="Model",
        model_help="Write the name of one of the sandbox's models.",
        model_example="sandbox-chat",
        credential_label="",
        credential_help="",
        sources=(CredentialSource.NONE,),
        lists_models=False,
    ),
)
KINDS: Mapping[str, KindFacts] = MappingProxyType({facts.kind.value: facts for facts in _KINDS})


def clean_provider_settings(kind: str, values: Any) -> dict[str, str]:
    """Those of the kind that have a text. Raises Invalid with the field ``settings/NAME``."""
    cleaned = _clean(KINDS[kind].settings, values, "provider of this kind")
    if bool(cleaned.get("guardrail_id")) != bool(cleaned.get("guardrail_version")):
        missing = "guardrail_version" if cleaned.get("guardrail_id") else "guardrail_id"
        raise Invalid("A guardrail is named by its id and its version together.", field=f"settings/{missing}")
    return cleaned


def clean_endpoint_settings(kind: str, values: Any) -> dict[str, str]:
    return _clean(KINDS[kind].endpoint_settings, values, "endpoint of this provider")


def address_of(kind: str, settings: Mapping[str, str]) -> str:
    """The kind's own address with these settings; empty where it has none, or a setting of it is missing."""
    try:
        return KINDS[kind].address.format_map(settings)
    except KeyError:
        return ""


def merged(kind: str, provider: Mapping[str, Any], endpoint: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What reaches the adapter: defaults, the provider's settings, and the endpoint's over them."""
    facts = KINDS.get(kind)
    known = (*facts.settings, *facts.endpoint_settings) if facts else ()
    values = {setting.name: setting.default for setting in known if setting.default}
    values |= {str(name): str(value) for source in (provider, endpoint) for name, value in source.items()}
    return tuple(sorted(values.items()))


def _clean(known: tuple[Setting, ...], values: Any, what: str) -> dict[str, str]:
    if not isinstance(values, Mapping):
        raise Invalid("Settings are an object of texts.", field="settings")
    settings = {setting.name: setting for setting in known}
    for name in values:
        if name not in settings:
            names = ", ".join(settings) or "none"
            raise Invalid(
                f"{str(name)[:50]!r} is no setting of a {what}.", field="settings", remedy=f"There are: {names}."
            )
    cleaned = {}
    for setting in known:
        value = values.get(setting.name, "")
        if not isinstance(value, str) or len(value) > MAX_LENGTH:
            raise Invalid(f"The setting {setting.label!r} is not a short text.", field=f"settings/{setting.name}")
        value = value.strip()
        if not value:
            if setting.required:
                raise Invalid(f"{setting.label} is needed.", field=f"settings/{setting.name}", remedy=setting.wanted)
            continue
        choices = [choice for choice, _ in setting.choices]
        if choices and value not in choices:
            raise Invalid(
                f"{value[:60]!r} is not a choice of the setting {setting.label!r}.",
                field=f"settings/{setting.name}",
                remedy=f"Use one of: {', '.join(choices)}.",
            )
        if setting.pattern and not re.fullmatch(setting.pattern, value):
            raise Invalid(
                f"{value[:60]!r} is not valid for the setting {setting.label!r}.",
                field=f"settings/{setting.name}",
                remedy=setting.wanted,
            )
        cleaned[setting.name] = value
    return cleaned
