"""A prompt of the catalog in a call: found in the snapshot, rendered, and put into the body in the caller's dialect.

It happens before the front reads the call, so that every front serves prompts alike, and what is bounded, admitted and
recorded is the true text. Where the caller said something itself (a parameter, tools, the model), that stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from msgspec import Raw

from apps.gateway.errors import PromptRefused
from apps.gateway.fronts.base import Arrived, Front, PromptReference
from apps.gateway.fronts.parsing import parse_json
from apps.gateway.routing.callers import CONVERSATION_HEADER
from apps.gateway.snapshot import Principal, Snapshot
from apps.gateway.snapshot_prompts import PromptFacts, VersionFacts
from apps.models.providers.base import CARRIED, CONVERSATIONS, Operation, Target
from apps.models.providers.conversation import Conversation, Message, OutputFormat, Reasoning, Text, Tool
from apps.models.providers.dialects import CHAT, CONVERSE, MESSAGES
from apps.models.providers.dialects.base import ConversationDialect
from apps.models.providers.dialects.invoke.shapes import shape_of
from apps.prompts.errors import VariablesInvalid
from apps.prompts.rendering import Template
from apps.prompts.types import DEFAULT_LABEL, Content, plain
from apps.prompts.types import Message as Said

# Reads a version that no label points to; raises GatewayError when the database is away.
Pinned = Callable[[PromptFacts, int], Awaitable[VersionFacts | None]]

_encode = msgspec.json.Encoder().encode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_prompt = msgspec.json.Decoder(PromptReference).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_DIALECTS: dict[Operation, ConversationDialect] = {
    "chat.completions": CHAT,
    "messages": MESSAGES,
    "invoke": MESSAGES,  # where its body is one of Anthropic's
    "converse": CONVERSE,
}
_NAMED_IN_PATH = frozenset({"converse", "invoke"})
_ANY_MODEL = Target(base_url="", upstream_model="")
# Where the prompt's part comes first and the caller's follows.
_JOINED = frozenset({"messages", "input", "system", "instructions"})
# Objects of several settings, of which the caller's own count one by one.
_NESTED = frozenset({"inferenceConfig", "text", "output_config", "reasoning"})
# Two names of one thing: who says either has said it.
_SAME: dict[str, str] = {"max_completion_tokens": "max_tokens"}
# Who is on the other side, in the words of each API.
_WHO = ("conversation", "user", "safety_identifier")
_WHO_INSIDE = ("metadata", "requestMetadata")


@dataclass(frozen=True, slots=True)
class Served:
    """The version that answers. ``percent`` is its part of the label's traffic; ``by`` is what it stays with."""

    prompt_id: int
    slug: str
    number: int
    hash: str
    label: str = ""
    environment: str = ""
    percent: int = 100
    by: str = ""
    unsaid: tuple[str, ...] = ()  # of its parameters those that nothing can be told
    carried: Mapping[str, Any] = field(default_factory=dict)  # and those that the caller's API alone has no word for

    def why(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"id": self.slug, "version": self.number, "hash": self.hash[:12]}
        if self.label:
            facts |= {"label": self.label, "environment": self.environment}
        if self.percent != 100:
            facts |= {"percent": self.percent, "by": self.by}
        return facts


@dataclass(slots=True)
class PromptCall:
    """A call that names a prompt, before its front has read it: as much of a ``fronts.base.Request`` as is known."""

    operation: Operation
    model: str
    streams: bool
    fields: dict[str, Raw]
    served: Served | None = None  # once it is known
    max_output: int | None = None
    choices: int = 1
    wants_usage: bool = False
    prompt: None = None
    lobby: None = None


def asked(front: Front, body: bytes) -> PromptCall | None:
    """The call, if it names a prompt; a body that is not even JSON is left to the front's own words.

    Raises ``PromptRefused`` where the API carries no conversation: a prompt that is ignored would be worse.
    """
    # An escaped key is as good as a plain one.
    if b'"prompt"' not in body and b"\\u00" not in body:
        return None
    try:
        fields = _decode_fields(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not bytes(fields.get("prompt", b"null")).startswith(b"{"):
        return None
    if front.operation not in (*CONVERSATIONS, "invoke"):
        raise PromptRefused(
            "This API takes no prompt of the catalog: ask it on an API that carries a conversation.",
            param="prompt",
            code="prompt_not_supported",
        )
    if front.operation == "invoke" and shape_of(fields) != "messages":
        return None  # a body that is its maker's own, whatever it calls a prompt
    model = bytes(fields.get("model", b""))
    return PromptCall(
        operation=front.operation,
        model=_decode_text(model) if model.startswith(b'"') else "",
        streams=bytes(fields.get("stream", b"")) == b"true",
        fields=fields,
    )


async def fill(
    call: PromptCall, arrived: Arrived, principal: Principal, snapshot: Snapshot, pinned: Pinned, request_id: str
) -> Arrived:
    """The call with the rendered prompt in it. Sets ``call.served``. Raises ``GatewayError``."""
    reference, _ = parse_json(_decode_prompt, bytes(call.fields.pop("prompt")), "prompt")
    version = await _find(call, reference, arrived.headers, principal, snapshot, pinned, request_id)
    try:
        messages = version.template.render(reference.variables or {})
    except VariablesInvalid as error:
        served = call.served
        assert served is not None
        raise PromptRefused(
            f"The prompt '{served.slug}' (version {served.number}) cannot be filled in: {error.message}",
            code="prompt_variables_invalid",
            param=f"prompt.{(error.field or '').replace('/', '.')}",
        ) from None
    body, unsaid = _body(call, version.template, messages)
    assert call.served is not None
    missing = [name for name in unsaid if name not in call.fields]
    parameters = version.template.content.parameters
    call.served = replace(
        call.served,
        unsaid=tuple(f"prompt.{name}" for name in missing if name not in CARRIED),
        carried={name: getattr(parameters, name) for name in missing if name in CARRIED},
    )
    return replace(arrived, body=body)


async def _find(
    call: PromptCall,
    reference: PromptReference,
    headers: Mapping[bytes, bytes],
    principal: Principal,
    snapshot: Snapshot,
    pinned: Pinned,
    request_id: str,
) -> VersionFacts:
    prompt = snapshot.prompts.get((principal.tenant.id, reference.id))
    if prompt is None:
        raise _not_found(reference.id)
    if reference.version is not None and reference.label is not None:
        raise PromptRefused(
            "A version and a label were given: send one of them.", param="prompt.label", code="invalid_value"
        )
    if reference.version is not None:
        number = _number(reference.version)
        version = prompt.versions.get(number)
        if version is None and 0 < number <= prompt.newest:
            version = await pinned(prompt, number)
        if version is None:
            raise PromptRefused(
                f"The prompt '{prompt.slug}' has no version {str(reference.version)[:40]}.",
                status=404,
                param="prompt.version",
                code="prompt_version_not_found",
            )
        call.served = Served(prompt.id, prompt.slug, version.number, version.hash)
        return version
    label, environment = reference.label or DEFAULT_LABEL, principal.project.environment
    shares = prompt.labels.get((environment, label), ())
    if not shares:
        there = ", ".join(sorted(name for place, name in prompt.labels if place == environment)) or "none"
        raise PromptRefused(
            f"The prompt '{prompt.slug}' has no label '{label[:60]}' in the environment '{environment}', which is that"
            f" of the project. Labels there: {there}.",
            status=404,
            param="prompt.label",
            code="prompt_label_not_found",
        )
    by, key = _who(call.fields, reference, headers, principal, request_id)
    total = sum(weight for _, weight in shares)
    number, weight = choose(shares, f"{prompt.id}:{label}:{key}")
    version = prompt.versions[number]
    percent = round(weight * 100 / total)
    call.served = Served(prompt.id, prompt.slug, number, version.hash, label, environment, percent, by)
    return version


def choose(shares: tuple[tuple[int, int], ...], key: str) -> tuple[int, int]:
    """(number, weight) of the version for ``key``: always the same one while the weights stay.

    The newest comes first, so that whoever has been given it keeps it while its share grows.
    """
    if len(shares) == 1:
        return shares[0]
    total = sum(weight for _, weight in shares)
    point = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64 * total
    for number, weight in sorted(shares, reverse=True):
        point -= weight
        if point < 0:
            return number, weight
    return min(shares)


def _who(
    fields: Mapping[str, Raw],
    reference: PromptReference,
    headers: Mapping[bytes, bytes],
    principal: Principal,
    request_id: str,
) -> tuple[str, str]:
    """(what it is, the key) that a caller's next requests share; of nobody known, each request is on its own."""
    if reference.sticky:
        return "sticky", reference.sticky
    # A conversation has one name, for the routes that keep it and for prompts.
    named = headers.get(CONVERSATION_HEADER, b"").decode("latin-1").strip()
    if not named and (raw := bytes(fields.get("lobby", b"null"))).startswith(b"{"):
        said = bytes(_decode_fields(raw).get("conversation", b"null"))
        named = _decode_text(said) if said.startswith(b'"') else ""
    if named:
        return "conversation", named
    for name in _WHO:
        raw = bytes(fields.get(name, b"null"))
        if raw not in (b"null", b'""'):
            return name, raw.decode("utf-8", "replace")
    for name in _WHO_INSIDE:
        raw = bytes(fields.get(name, b"null"))
        if raw.startswith(b"{"):
            inside = _decode_fields(raw)
            for each in ("user_id", "conversation_id", "session_id"):
                if each in inside:
                    return f"{name}.{each}", bytes(inside[each]).decode("utf-8", "replace")
    if principal.user_id:
        return "member", str(principal.user_id)
    return "request", request_id


def _number(version: str | int) -> int:
    text = str(version).removeprefix("v")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _not_found(slug: str) -> PromptRefused:
    """Alike for an unknown prompt and another tenant's."""
    shown = "".join(character for character in slug if character.isprintable())[:100]
    return PromptRefused(
        f"The prompt '{shown}' is not in this tenant's catalog.",
        status=404,
        param="prompt.id",
        code="prompt_not_found",
    )


# The caller's body with the prompt in it.


def _body(call: PromptCall, template: Template, messages: list[Said]) -> tuple[bytes, Iterable[str]]:
    """It, and what of the prompt the caller's API has no word for."""
    fields: dict[str, Any] = {name: raw for name, raw in call.fields.items() if bytes(raw) != b"null"}
    content = template.content
    if call.operation == "responses":
        ours = _responses_fields(content, messages)
        unsaid = [name for name in CARRIED if getattr(content.parameters, name) not in (None, [])]
    else:
        conversation = _conversation(template, messages)
        written = _DIALECTS[call.operation].write(conversation, _ANY_MODEL, stream=False, max_output_tokens=None)
        ours, unsaid = dict(written.fields), list(written.dropped)
    ours.pop("model", None)
    if content.parameters.max_tokens is None:
        ours.pop("max_tokens", None)  # a dialect that needs one assumes one; here it is the caller's to say
    if call.operation not in _NAMED_IN_PATH:
        if content.model:
            ours["model"] = content.model
        elif "model" not in fields:
            raise PromptRefused(
                "Neither the request nor the prompt names a model.", param="model", code="missing_field"
            )
    for name, value in ours.items():
        theirs = fields.get(name) or fields.get(_SAME.get(name, name))
        if theirs is None:
            fields[name] = value
        elif name in _JOINED:
            fields[name] = _joined(name, value, theirs)
        elif name in _NESTED and isinstance(value, dict) and bytes(theirs).startswith(b"{"):
            fields[name] = {**value, **_decode_fields(theirs)}
    return _encode(fields), unsaid


def _conversation(template: Template, messages: list[Said]) -> Conversation:
    content, parameters = template.content, template.content.parameters
    effort = parameters.reasoning_effort
    reasoning = None
    if effort is not None:
        reasoning = Reasoning(enabled=False) if effort == "none" else Reasoning(effort=effort)
    output_format = None
    if content.output_schema is not None:
        output_format = OutputFormat("json_schema", Raw(_encode(content.output_schema)), strict=None)
    return Conversation(
        messages=[Message(each.role, [Text(each.content)]) for each in messages],
        tools=[
            Tool(
                each.function.name,
                each.function.description or None,
                None if each.function.parameters is None else Raw(_encode(each.function.parameters)),
                each.function.strict,
            )
            for each in content.tools
        ],
        output_format=output_format,
        reasoning=reasoning,
        max_tokens=parameters.max_tokens,
        temperature=parameters.temperature,
        top_p=parameters.top_p,
        stop=list(parameters.stop or []),
        seed=parameters.seed,
        presence_penalty=parameters.presence_penalty,
        frequency_penalty=parameters.frequency_penalty,
    )


def _responses_fields(content: Content, messages: list[Said]) -> dict[str, Any]:
    """In the words of the Responses API, which providers are not spoken to in: its dialect only reads requests."""
    parameters = content.parameters
    fields: dict[str, Any] = {
        "input": [{"role": each.role, "content": each.content} for each in messages],
        "tools": [{"type": "function", **plain(each.function)} for each in content.tools] or None,
        "max_output_tokens": parameters.max_tokens,
        "temperature": parameters.temperature,
        "top_p": parameters.top_p,
        "reasoning": {"effort": parameters.reasoning_effort} if parameters.reasoning_effort else None,
    }
    if content.output_schema is not None:
        fields["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": content.output_schema}}
    return {name: value for name, value in fields.items() if value is not None}


def _joined(name: str, ours: Any, theirs: Raw) -> Any:
    raw = bytes(theirs)
    if isinstance(ours, str) and raw.startswith(b'"'):
        return f"{ours}\n\n{_decode_text(raw)}"
    return [*_items(name, ours), *(_decode_items(raw) if raw.startswith(b"[") else _items(name, theirs))]


def _items(name: str, value: Any) -> list[Any]:
    """A text where a list may stand, too, as that list."""
    if isinstance(value, list):
        return value
    return [{"role": "user", "content": value}] if name == "input" else [{"type": "text", "text": value}]
