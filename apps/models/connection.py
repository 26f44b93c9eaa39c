"""Trying a provider out: a tiny real call, and what its failure means in words.

The call is built by the provider's own adapter and goes to the very address that the guard has checked. Without a model
the provider is only asked for its list, which tries address and credential. Nothing is billed to a tenant.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final

import httpx
import msgspec

from apps.models.credentials import check_secret, credential_of, secret_for
from apps.models.errors import CredentialError, DiscoveryFailed, UrlRefused
from apps.models.models import Provider
from apps.models.provider_settings import KINDS, address_of, clean_endpoint_settings, merged
from apps.models.providers.adapters import make_adapters
from apps.models.providers.base import Adapter, ProviderError, Target, Unreadable, UpstreamCall, no_words
from apps.models.providers.concealing import conceal
from apps.models.trust import tls_context
from apps.models.types import AWS_KINDS, CONNECTION_TEST, ModelKind, ProviderKind
from apps.models.upstream_listing import (
    MAY_NOT_LIST,
    NO_TLS,
    REFUSED,
    UNREACHED,
    UNRESOLVED,
    UNTRUSTED,
    Place,
    guess_kind,
    read_listing,
    unreached,
)
from apps.models.urls_guard import check_url, resolve
from apps.tenants import validation
from apps.tenants.access import Actor, require

CONNECT_TIMEOUT_S: Final = 4.0
ANSWER_TIMEOUT_S: Final = 20.0
MAX_BYTES: Final = 1024**2
MAX_OUTPUT_TOKENS: Final = 16
MAX_SAID: Final = 300


class Outcome(StrEnum):
    OK = "ok"
    WRONG_KEY = "wrong_key"
    NO_ACCESS = "no_access"
    MAY_NOT_LIST = "may_not_list"
    WRONG_REGION = "wrong_region"
    WRONG_MODEL = "wrong_model"
    WRONG_ADDRESS = "wrong_address"
    UNREACHABLE = "unreachable"
    BUSY = "busy"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Report:
    """``field`` is the input to look at; ``said`` the provider's own words, without the credential: empty without any.

    Title and remedy are whole sentences: what is wrong, and what to do.
    """

    outcome: Outcome
    title: str
    remedy: str = ""
    field: str = ""
    said: str = ""
    ms: int = 0

    @property
    def is_ok(self) -> bool:
        return self.outcome is Outcome.OK

    @property
    def tone(self) -> str:
        return {Outcome.OK: "ok", Outcome.BUSY: "warn", Outcome.MAY_NOT_LIST: "warn"}.get(self.outcome, "danger")


def try_connection(
    *,
    actor: Actor,
    provider: Provider,
    upstream_model: str = "",
    secret: str = "",
    settings: dict[str, str] | None = None,
) -> Report:
    """``provider`` may be a draft that was not saved; ``secret`` then is its credential. ``settings`` the endpoint's.

    Blocks for some 25 seconds at most. Raises PermissionDenied, and Invalid for settings that are none.
    """
    require(actor, "registry.manage", what="try providers out")
    endpoint = clean_endpoint_settings(provider.kind, settings or {})
    upstream_model = validation.clean_text(upstream_model, field="model", maximum=300)
    started = time.monotonic()
    try:
        credential = secret_for(provider, check_secret(secret)) if secret else credential_of(provider)
        if upstream_model or not KINDS[provider.kind].lists_models:
            report = _call(provider, credential, upstream_model, endpoint)
        else:
            listing = read_listing(Place(provider.kind, provider.base_url, credential, provider.settings))
            count = len(listing.models)
            report = Report(Outcome.OK, f"Connected: it lists {count} model{'' if count == 1 else 's'}.")
    except CredentialError as error:
        report = Report(
            Outcome.WRONG_KEY, "Lobby has no credential to show this provider.", error.message, "credential"
        )
    except UrlRefused as error:
        report = Report(Outcome.WRONG_ADDRESS, "Lobby may not call this address.", error.message, "base_url")
    except DiscoveryFailed as error:
        report = _of_listing(provider, error)
    return replace(report, ms=int((time.monotonic() - started) * 1000))


def _call(provider: Provider, credential: str | None, upstream_model: str, endpoint: dict[str, str]) -> Report:
    adapter = _adapters().get(provider.kind)
    if adapter is None:
        return Report(Outcome.FAILED, f"This release cannot call {provider.get_kind_display()} yet.")
    if provider.kind == ProviderKind.SANDBOX:
        return Report(Outcome.OK, "The sandbox is built in: it always answers.")
    if not upstream_model:
        return Report(Outcome.WRONG_MODEL, "Name a model to try.", KINDS[provider.kind].model_help, "model")
    if guess_kind(upstream_model) not in (ModelKind.CHAT, ModelKind.EMBEDDING):
        return _listed(provider, credential, upstream_model)
    settings = merged(provider.kind, provider.settings, endpoint)
    target = Target(provider.base_url, upstream_model, credential, settings, max_output_tokens=MAX_OUTPUT_TOKENS)
    call = _tiny_call(upstream_model)
    try:
        request = adapter.prepare(target, call, attempt_id=CONNECTION_TEST).request
        response, body = _send(request)
    except Unreadable as error:
        return Report(Outcome.FAILED, "The test could not be written for this provider.", error.message)
    except socket.gaierror:
        return _unresolved(provider)
    except (httpx.HTTPError, OSError) as error:
        return _of_listing(provider, unreached(error, check_url(provider.base_url)))
    if response.status_code != 200:
        refusal = adapter.error(response.status_code, response.headers, body)
        return _of_refusal(target, provider, refusal, response, body)
    try:
        adapter.parse(target, call, response.headers, body)
    except ProviderError as error:
        if error.phase == "answer":  # a 200 that holds an error
            return _of_refusal(target, provider, error, response, body)
        return Report(
            Outcome.WRONG_ADDRESS,
            "Something answers there, but not as this kind of provider does.",
            f"Check the kind and the address. {KINDS[provider.kind].address_help}",
            "base_url",
        )
    return Report(Outcome.OK, f"Connected: {upstream_model} has answered.")


def _listed(provider: Provider, credential: str | None, upstream_model: str) -> Report:
    """Whether a model that no small call fits (pictures, sound) is in the provider's list."""
    listing = read_listing(Place(provider.kind, provider.base_url, credential, provider.settings))
    if any(each.upstream_model == upstream_model for each in listing.models):
        return Report(
            Outcome.OK,
            f"Connected: it lists {upstream_model}.",
            "A model of this kind is not called for a test: that would cost too much.",
        )
    title = f"The provider lists no {_noun(provider)} {upstream_model!r}."
    return Report(Outcome.WRONG_MODEL, title, KINDS[provider.kind].model_help, "model")


@lru_cache(maxsize=1)
def _adapters() -> dict[str, Adapter]:
    return make_adapters()


def _tiny_call(upstream_model: str) -> UpstreamCall:
    if guess_kind(upstream_model) == ModelKind.EMBEDDING:
        return UpstreamCall("embeddings", {"model": _raw(upstream_model), "input": _raw("Hello")}, model=upstream_model)
    messages = [{"role": "user", "content": "Answer with OK."}]
    fields = {"model": _raw(upstream_model), "messages": _raw(messages)}
    return UpstreamCall("chat.completions", fields, max_output_tokens=MAX_OUTPUT_TOKENS, model=upstream_model)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _send(request: httpx.Request) -> tuple[httpx.Response, bytes]:
    """To the address that was checked, speaking TLS and HTTP with the host that was named."""
    url = request.url
    checked = check_url(str(url.copy_with(query=None)))
    address = resolve(checked)[0]
    request.url = url.copy_with(host=address)
    request.extensions["sni_hostname"] = checked.host
    timeout = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    request.extensions["timeout"] = timeout.as_dict()
    with httpx.Client(timeout=timeout, follow_redirects=False, trust_env=False, verify=tls_context()) as client:
        response = client.send(request, stream=True)
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > MAX_BYTES:
                break
        response.close()
    return response, bytes(body)


def _of_refusal(
    target: Target, provider: Provider, error: ProviderError, response: httpx.Response, body: bytes
) -> Report:
    status = response.status_code
    # Each API has its own word for each mistake, in one of these places.
    words = " ".join(
        (error.message, error.code or "", error.type or "", response.headers.get("x-amzn-errortype", ""))
    ).lower()
    said = "" if error.message == no_words(status) else _said(error.message, target.credential)
    facts = KINDS[provider.kind]
    if status == 400 and b" http request " in (page := body[:2000].lower()) and b" https " in page:
        checked = check_url(provider.base_url)
        return Report(
            Outcome.WRONG_ADDRESS,
            f"{checked.host}:{checked.port} speaks HTTPS and was called in plain HTTP.",
            "Write https:// in front of the address.",
            "base_url",
            said,
        )
    if 300 <= status < 400:
        return Report(
            Outcome.WRONG_ADDRESS,
            "The server sends callers to another address.",
            "Enter the address that it sends them to: Lobby follows no redirects.",
            "base_url",
            said,
        )
    if "valid region" in words or "scoped to" in words:
        return _wrong_region(provider, said)
    if status in (401, 403) or "api key not valid" in words or "api_key_invalid" in words:
        return _of_credential(provider, words, said)
    if error.kind == "rate_limited":
        return Report(
            Outcome.BUSY,
            "The credential works, but its account is at a limit now.",
            "Look at the quota and the billing of the account; then try again.",
            said=said,
        )
    # Amazon's addresses are a region's own: what is not found there is nearly always the model, or in another region.
    misplaced = status == 404 and ("invalid url" in words or "unknownoperation" in words)
    if not misplaced and (_names_the_model(status, words) or (provider.kind in AWS_KINDS and status == 404)):
        name = target.upstream_model[:100]
        title = f"The provider knows no {_noun(provider)} {name!r} for this credential."
        if "on-demand throughput" in words:
            title = f"{name!r} cannot be called by the model's own id."
        elif provider.kind in AWS_KINDS:
            title = f"There is no {_noun(provider)} {name!r} in the region {provider.settings.get('region', '')}."
        return Report(Outcome.WRONG_MODEL, title, _model_remedy(provider, words), "model", said)
    if status in (404, 405):
        return Report(
            Outcome.WRONG_ADDRESS,
            "A server answers there, but has nothing at this path.",
            f"Check the address. {facts.address_help}",
            "base_url",
            said,
        )
    if status >= 500 or (status == 200 and error.kind == "overloaded"):
        return Report(
            Outcome.FAILED,
            f"The provider failed with status {status}.",
            "Try again in a minute. If it stays, look at the provider's status page or the server's log.",
            said=said,
        )
    title = f"The provider refused the call with status {status}."
    remedy = "Its own words below name the reason." if said else "It gave no reason."
    return Report(Outcome.REFUSED, title, f"{remedy} Check the model's name and the settings.", "model", said)


def _of_credential(provider: Provider, words: str, said: str) -> Report:
    no_access = (
        "accessdenied",
        "not authorized",
        "don't have access",
        "does not have access",
        "permission_denied",
        "permissiondenied",
        "permission_error",
        "model_not_found",
    )
    # Amazon says AccessDenied of a Bedrock API key that it does not know, too.
    unknown = provider.kind in AWS_KINDS and ("token" in words or "authentication failed" in words)
    if any(each in words for each in no_access) and not unknown:
        permissions = {
            ProviderKind.BEDROCK: "Allow it bedrock:InvokeModel in IAM, and ask for the model in this region.",
            ProviderKind.SAGEMAKER: "Allow it sagemaker:InvokeEndpoint in IAM.",
        }
        general = "Allow it this model in the account at the provider, or enter a credential that may call it."
        remedy = permissions.get(ProviderKind(provider.kind), general)
        title = "The credential is known, but may not call this model."
        return Report(Outcome.NO_ACCESS, title, remedy, "model", said)
    if "expired" in words:
        remedy = "Make a new one at the provider and enter it here."
        return Report(Outcome.WRONG_KEY, "The credential has expired.", remedy, "credential", said)
    remedies = {
        ProviderKind.AZURE_OPENAI: "Copy key 1 or key 2 of this very resource: a key works at its own endpoint alone.",
        ProviderKind.BEDROCK: "Check that the access key id and the secret access key belong together. A Bedrock API"
        " key is entered alone, without an access key id, and a short-term one is its region's only.",
        ProviderKind.SAGEMAKER: "Check that the access key id and the secret access key belong together.",
    }
    remedy = remedies.get(ProviderKind(provider.kind), KINDS[provider.kind].credential_help)
    return Report(Outcome.WRONG_KEY, "The provider refuses the credential.", remedy, "credential", said)


def _names_the_model(status: int, words: str) -> bool:
    if status == 404:
        missing = ("model_not_found", "deploymentnotfound", "does not exist", "no longer available")
        # Anthropic's type is the same for a path that it does not have; there its message names no model.
        if "not_found_error" in words and "model" in words:
            return True
        return any(each in words for each in missing) or ("model" in words and "not found" in words)
    told = ("model identifier is invalid", "on-demand throughput", "provided model", "could not find", "not found")
    return status == 400 and any(each in words for each in told)


def _noun(provider: Provider) -> str:
    nouns = {ProviderKind.AZURE_OPENAI: "deployment", ProviderKind.SAGEMAKER: "endpoint"}
    return nouns.get(ProviderKind(provider.kind), "model")


def _model_remedy(provider: Provider, words: str) -> str:
    if "on-demand throughput" in words:
        return "Call it by an inference profile: put the region's prefix in front of the id, such as eu. or us."
    if provider.kind in AWS_KINDS:
        what = "model id" if provider.kind == ProviderKind.BEDROCK else "endpoint's name"
        remedy = f"Check the {what} and the region: what one region offers, another may not."
        if provider.base_url != address_of(provider.kind, provider.settings):
            remedy += " If both are right, check the address."
        return f"{remedy} {KINDS[provider.kind].model_help}"
    return KINDS[provider.kind].model_help


def _of_listing(provider: Provider, error: DiscoveryFailed) -> Report:
    facts = KINDS[provider.kind]
    match error.code:
        case code if code == UNRESOLVED:
            return _unresolved(provider)
        case code if code == UNREACHED:
            remedy = "Check the address and the port, that the server runs, and that a firewall lets this machine out."
            return Report(Outcome.UNREACHABLE, error.message, remedy, "base_url")
        case code if code == NO_TLS:
            remedy = (
                "Name the port at which the server speaks HTTPS. If it speaks plain HTTP, write http:// in front of the"
                " address: that is for servers that the operator has allowed (LOBBY_ALLOWED_PRIVATE_HOSTS)."
            )
            return Report(Outcome.UNREACHABLE, error.message, remedy, "base_url")
        case code if code == UNTRUSTED:
            remedy = (
                "Check that the address has the host's name as the certificate has it. A private authority's"
                " certificate has to be among those that this machine trusts, or named by SSL_CERT_FILE."
            )
            return Report(Outcome.UNREACHABLE, error.message, remedy, "base_url")
        case code if code == REFUSED:
            return _of_credential(provider, "", "")
        case code if code == MAY_NOT_LIST:
            return Report(
                Outcome.MAY_NOT_LIST,
                "The credential may not read the provider's list of models.",
                "It may be allowed to call them all the same: name a model and test again. Lobby needs no list: once"
                " the provider is registered, its models can be named one by one.",
                "model",
            )
    remedy = f"{error.message} Check the address. {facts.address_help} If it is right, name a model and test again: "
    return Report(
        Outcome.WRONG_ADDRESS,
        "The provider's list of models cannot be read.",
        f"{remedy}not every server has a list.",
        "base_url",
    )


def _unresolved(provider: Provider) -> Report:
    host = check_url(provider.base_url).host
    if provider.kind in AWS_KINDS and provider.base_url == address_of(provider.kind, provider.settings):
        return _wrong_region(provider, "")
    return Report(
        Outcome.UNREACHABLE,
        f"There is no server of the name {host}.",
        "Check the address for a slip. If it is right, this machine's DNS does not know the name.",
        "base_url",
    )


def _wrong_region(provider: Provider, said: str) -> Report:
    region = provider.settings.get("region", "")
    return Report(
        Outcome.WRONG_REGION,
        f"There is no {provider.get_kind_display()} in the region {region}.",
        "Check the region for a slip, or choose another that offers it, for example eu-central-1 or us-east-1. If every"
        " region fails, this machine cannot look up names.",
        "settings/region",
        said,
    )


def _said(message: str, credential: str | None) -> str:
    """What the provider said. Some repeat the credential that they were shown."""
    text = "".join(character if character.isprintable() else " " for character in message)
    return conceal(text, credential)[:MAX_SAID]
