"""What the fake Bedrock says: requests held against botocore's model of the service, answers in its own words.

What is answered, and how tokens are counted, is the fake OpenAI's (``openai_wire``): the same conversation gets the
same answer and the same usage from both. Beyond botocore's model, what the service is known to refuse is refused: two
messages of one side in a row, blank texts, a tool's result without its call, tools in a history that names none.
"""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from typing import Any, Final

import msgspec

from tests.fakes import openai_wire
from tests.fakes.aws_models import Refused, check, service
from tests.fakes.behaviour import Behaviour
from tests.fakes.openai_wire import ID, Event, Plan, RequestError

MODELS: Final = ("anthropic.fake-chat-v1:0", "amazon.titan-embed-text-v2:0", "cohere.embed-v4:0")
_STOPS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_NAMES: Final = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_TOOL_ID: Final = "tooluse_" + ID.decode()
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def error_name(status: int) -> str:
    return _NAMES.get(status, "ValidationException" if status < 500 else "InternalServerException")


def error_body(message: str) -> bytes:
    return _encode({"message": message})


def refused(message: str, status: int = 400) -> RequestError:
    return RequestError(status, error_body(message))


def read_body(operation: str, body: bytes) -> dict[str, Any]:
    """The request's JSON, as botocore's model of the operation has it. Raises RequestError."""
    try:
        request = _decode(body)
        check(service("bedrock-runtime").operation_model(operation).input_shape, request)
    except (msgspec.DecodeError, Refused) as error:
        raise refused(f"1 validation error detected: {error}") from None
    return request if isinstance(request, dict) else {}


def converse_plan(model: str, body: bytes, mode: str, *, stream: bool) -> Plan:
    request = read_body("ConverseStream" if stream else "Converse", body)
    _check_messages(request)
    asked = _as_openai(model, request, stream=stream)
    try:
        plan = openai_wire.chat_plan(_encode(asked), mode)
    except RequestError as error:
        raise refused(json.loads(error.body)["error"]["message"], error.status) from None
    thinks = "thinking" in (request.get("additionalModelRequestFields") or {})
    if stream:
        events = tuple(_events(plan, thinks=thinks))
        return Plan(
            model, True, plan.behaviour, plan.prompt_tokens, plan.completion_tokens, b"", events, plan.usage_sent
        )
    return Plan(
        model,
        False,
        plan.behaviour,
        plan.prompt_tokens,
        plan.completion_tokens,
        _answer(plan, thinks=thinks),
        (),
        plan.usage_sent,
    )


def _check_messages(request: dict[str, Any]) -> None:
    messages = request.get("messages") or []
    roles = [message["role"] for message in messages]
    if not roles or roles[0] != "user":
        raise refused("A conversation must start with a user message.")
    if any(before == after for before, after in pairwise(roles)):
        raise refused("A conversation must alternate between user and assistant roles.")
    called: set[str] = set()
    uses_tools = False
    for message in messages:
        blocks = message["content"]
        if not blocks:
            raise refused("The content field in the Message object is empty.")
        if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
            raise refused("A document needs a text beside it.")
        for block in blocks:
            if "text" in block and not block["text"].strip():
                raise refused("The text field in the ContentBlock object is blank.")
            if "toolResult" in block:
                uses_tools = True
                if block["toolResult"]["toolUseId"] not in called:
                    raise refused("toolResult blocks exceed the number of toolUse blocks of the previous turn.")
        calls = {block["toolUse"]["toolUseId"] for block in blocks if "toolUse" in block}
        uses_tools = uses_tools or bool(calls)
        if message["role"] == "assistant":
            called = calls
    if uses_tools and "toolConfig" not in request:
        raise refused("The toolConfig field must be defined when using toolUse and toolResult content blocks.")
    names = [block["document"]["name"] for m in messages for block in m["content"] if "document" in block]
    if len(names) != len(set(names)):
        raise refused("Messages contain duplicate document names.")


def _as_openai(model: str, request: dict[str, Any], *, stream: bool) -> dict[str, Any]:
    """The same request to the fake OpenAI."""
    messages = [
        {"role": "system", "content": block["text"]} for block in request.get("system") or [] if "text" in block
    ]
    for message in request["messages"]:
        texts = [block["text"] for block in message["content"] if "text" in block]
        texts += [block["guardContent"]["text"]["text"] for block in message["content"] if "guardContent" in block]
        for block in message["content"]:
            if "toolResult" in block:
                results = [_result_text(each) for each in block["toolResult"]["content"]]
                messages.append({"role": "tool", "content": " ".join(results)})
        if texts or message["role"] == "assistant":
            messages.append({"role": message["role"], "content": [{"type": "text", "text": text} for text in texts]})
    asked: dict[str, Any] = {"model": model, "messages": messages, "stream": stream}
    if stream:
        asked["stream_options"] = {"include_usage": True}
    config = request.get("toolConfig") or {}
    specs = [tool["toolSpec"] for tool in config.get("tools") or [] if "toolSpec" in tool]
    if specs:
        asked["tools"] = [
            {
                "type": "function",
                "function": {"name": spec["name"], "parameters": spec["inputSchema"].get("json") or {}},
            }
            for spec in specs
        ]
    match config.get("toolChoice"):
        case {"tool": {"name": name}}:
            asked["tool_choice"] = {"type": "function", "function": {"name": name}}
        case {"any": _}:
            asked["tool_choice"] = "required"
    form = (request.get("outputConfig") or {}).get("textFormat")
    if form:
        schema = json.loads(form["structure"]["jsonSchema"]["schema"])
        asked["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    if "maxTokens" in (request.get("inferenceConfig") or {}):
        asked["max_tokens"] = request["inferenceConfig"]["maxTokens"]
    return asked


def _result_text(content: dict[str, Any]) -> str:
    return content["text"] if "text" in content else json.dumps(content.get("json")) if "json" in content else ""


def _usage(told: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    prompt, output = told["prompt_tokens"], told["completion_tokens"]
    if behaviour.usage == "zero":
        return {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}
    read, wrote = behaviour.cached, behaviour.cache_write + behaviour.cache_write_1h
    usage: dict[str, Any] = {
        "inputTokens": prompt - read - wrote,
        "outputTokens": output,
        "totalTokens": prompt + output,
    }
    if read or wrote:
        usage |= {"cacheReadInputTokens": read, "cacheWriteInputTokens": wrote}
    if wrote:
        details = {"5m": behaviour.cache_write, "1h": behaviour.cache_write_1h}
        usage["cacheDetails"] = [{"ttl": ttl, "inputTokens": tokens} for ttl, tokens in details.items() if tokens]
    return usage


def _answer(plan: Plan, *, thinks: bool) -> bytes:
    told = json.loads(plan.body)
    choice = told["choices"][0]
    message = choice["message"]
    content: list[dict[str, Any]] = []
    if thinks:
        content.append({"reasoningContent": {"reasoningText": {"text": "Let me think.", "signature": "c2lnbmVk"}}})
    if message.get("content"):
        content.append({"text": message["content"]})
    for call in message.get("tool_calls") or []:
        function = call["function"]
        use = {"toolUseId": _TOOL_ID, "name": function["name"], "input": json.loads(function["arguments"])}
        content.append({"toolUse": use})
    answer: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": _STOPS[choice["finish_reason"]],
        "metrics": {"latencyMs": 1},
    }
    if "usage" in told:
        answer["usage"] = _usage(told["usage"], plan.behaviour)
    return _encode(answer)


def _events(plan: Plan, *, thinks: bool) -> list[Event]:
    events = [_event("messageStart", {"role": "assistant"})]
    block = 0
    if thinks:
        for delta in ({"text": "Let me think."}, {"signature": "c2lnbmVk"}):
            delta_payload = {"contentBlockIndex": block, "delta": {"reasoningContent": delta}}
            events.append(_event("contentBlockDelta", delta_payload))
        events.append(_event("contentBlockStop", {"contentBlockIndex": block}))
        block += 1
    usage: dict[str, Any] | None = None
    for each in plan.events:
        chunk = json.loads(each.data)
        if chunk.get("usage"):
            usage = chunk["usage"]
        for choice in chunk["choices"]:
            delta = choice["delta"]
            for call in delta.get("tool_calls") or []:
                function = call["function"]
                if "name" in function:
                    start = {"toolUse": {"toolUseId": _TOOL_ID, "name": function["name"]}}
                    events.append(_event("contentBlockStart", {"contentBlockIndex": block, "start": start}))
                if function.get("arguments"):
                    payload = {"contentBlockIndex": block, "delta": {"toolUse": {"input": function["arguments"]}}}
                    events.append(_event("contentBlockDelta", payload, each))
            if delta.get("content"):
                payload = {"contentBlockIndex": block, "delta": {"text": delta["content"]}}
                events.append(_event("contentBlockDelta", payload, each))
            if choice["finish_reason"]:
                events.append(_event("contentBlockStop", {"contentBlockIndex": block}))
                events.append(_event("messageStop", {"stopReason": _STOPS[choice["finish_reason"]]}))
    metadata: dict[str, Any] = {"metrics": {"latencyMs": 1}}
    if usage is not None:
        metadata["usage"] = _usage(usage, plan.behaviour)
    return [*events, _event("metadata", metadata)]


def _event(name: str, payload: dict[str, Any], of: Event | None = None) -> Event:
    tokens, index = (of.tokens, of.index) if of is not None else (0, -1)
    # The service pads its events, against those who listen to their lengths.
    padding = hashlib.sha256(name.encode()).hexdigest()[: len(payload) * 3]
    return Event(_encode({**payload, "p": padding}), tokens, index, name.encode())


# InvokeModel.


def invoke_plan(model: str, body: bytes, mode: str, *, stream: bool) -> Plan:
    try:
        request = _decode(body)
    except msgspec.DecodeError as error:
        raise refused(f"Malformed input request: {error}") from None
    if not isinstance(request, dict):
        raise refused("Malformed input request: expected an object")
    if "embed" in model:
        return _embeddings_plan(model, request, mode)
    if request.get("anthropic_version") != "bedrock-2023-05-31":
        raise refused("Malformed input request: #: required key [anthropic_version] not found")
    if "model" in request or "stream" in request:
        raise refused("Malformed input request: #: extraneous key [model] is not permitted")
    if not isinstance(request.get("max_tokens"), int):
        raise refused("Malformed input request: #: required key [max_tokens] not found")
    messages = [
        {"role": message["role"], "content": message["content"]}
        for message in ([{"role": "system", "content": request["system"]}] if request.get("system") else [])
        + request["messages"]
    ]
    asked = {"model": model, "messages": messages, "stream": stream, "max_tokens": request["max_tokens"]}
    if stream:
        asked["stream_options"] = {"include_usage": True}
    try:
        plan = openai_wire.chat_plan(_encode(asked), mode)
    except RequestError as error:
        raise refused(json.loads(error.body)["error"]["message"], error.status) from None
    facts = (model, stream, plan.behaviour, plan.prompt_tokens, plan.completion_tokens)
    if stream:
        return Plan(*facts, b"", tuple(_invoked_events(plan, model)), plan.usage_sent)
    told = json.loads(plan.body)
    choice = told["choices"][0]
    answer = {
        "id": "msg_bdrk_" + ID.decode(),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": choice["message"]["content"]}],
        "stop_reason": _STOPS[choice["finish_reason"]],
        "stop_sequence": None,
        "usage": {"input_tokens": plan.prompt_tokens, "output_tokens": plan.completion_tokens},
    }
    return Plan(*facts, _encode(answer), (), True)


def _invoked_events(plan: Plan, model: str) -> list[Event]:
    start = {"id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": model, "content": []}
    usage = {"input_tokens": plan.prompt_tokens, "output_tokens": 1}
    events: list[tuple[dict[str, Any], Event | None]] = [
        ({"type": "message_start", "message": {**start, "usage": usage}}, None),
        ({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, None),
    ]
    for each in plan.events:
        for choice in json.loads(each.data)["choices"]:
            text = choice["delta"].get("content")
            if text:
                delta = {"type": "text_delta", "text": text}
                events.append(({"type": "content_block_delta", "index": 0, "delta": delta}, each))
            if choice["finish_reason"]:
                stop = {"stop_reason": _STOPS[choice["finish_reason"]], "stop_sequence": None}
                told = {"output_tokens": plan.completion_tokens}
                events.append(({"type": "content_block_stop", "index": 0}, None))
                events.append(({"type": "message_delta", "delta": stop, "usage": told}, None))
    metrics = {
        "inputTokenCount": plan.prompt_tokens,
        "outputTokenCount": plan.completion_tokens,
        "invocationLatency": 1,
        "firstByteLatency": 1,
    }
    events.append(({"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}, None))
    return [_event("chunk", {"bytes": _encode(payload)}, of) for payload, of in events]


def _embeddings_plan(model: str, request: dict[str, Any], mode: str) -> Plan:
    if model.startswith("cohere"):
        allowed = {"texts", "input_type", "truncate", "embedding_types", "output_dimension"}
        wrong = set(request) - allowed or {"texts", "input_type"} - set(request)
        texts, dimensions = request.get("texts") or [], request.get("output_dimension") or 8
    else:
        wrong = set(request) - {"inputText", "dimensions", "normalize", "embeddingTypes"}
        texts, dimensions = [request.get("inputText", "")], request.get("dimensions") or 8
    if wrong or not all(isinstance(text, str) and text for text in texts) or not texts:
        raise refused(f"Malformed input request: {sorted(wrong) or 'texts'}, please reformat your input and try again.")
    asked = {"model": model, "input": texts, "dimensions": dimensions}
    plan = openai_wire.embeddings_plan(_encode(asked), mode)
    vectors = [each["embedding"] for each in json.loads(plan.body)["data"]]
    if model.startswith("cohere"):
        by_type = request.get("embedding_types")
        answer: dict[str, Any] = {"id": "e", "texts": texts, "embeddings": {"float": vectors} if by_type else vectors}
    else:
        answer = {"embedding": vectors[0], "inputTextTokenCount": plan.prompt_tokens}
    return Plan(model, False, plan.behaviour, plan.prompt_tokens, 0, _encode(answer), (), True)


def models_body(names: tuple[str, ...]) -> bytes:
    """ListFoundationModels."""
    summaries = [
        {
            "modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{name}",
            "modelId": name,
            "modelName": name.partition(".")[2],
            "providerName": name.partition(".")[0].capitalize(),
            "inputModalities": ["TEXT"],
            "outputModalities": ["EMBEDDING" if "embed" in name else "TEXT"],
            "responseStreamingSupported": "embed" not in name,
            "customizationsSupported": [],
            "inferenceTypesSupported": ["ON_DEMAND"],
            "modelLifecycle": {"status": "ACTIVE"},
        }
        for name in names
    ]
    return _encode({"modelSummaries": summaries})
