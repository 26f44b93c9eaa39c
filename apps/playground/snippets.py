"""The call that would do the same as an answer: in curl, Python, JavaScript and boto3, with the key of one's own."""

from __future__ import annotations

import json
import pprint
from typing import Any

from django.conf import settings

from apps.gateway import fronts
from apps.playground.messages import text_of
from apps.tenants.snippets import Snippet

# Of a long conversation the first messages are shown, and a line says that there are more.
MOST_CHARACTERS = 20_000
_CONVERSE_PARAMETERS = {
    "temperature": "temperature",
    "top_p": "topP",
    "max_tokens": "maxTokens",
    "stop": "stopSequences",
}


def code_of(request: dict[str, Any]) -> dict[str, Any]:
    """The snippets, for ``_code.html``, and whether something of the request is left out of them."""
    return {"tabs": snippets_for(request), "shortened": _shortened_all(request) != request["messages"]}


def snippets_for(request: dict[str, Any]) -> list[Snippet]:
    """``request`` is what goes to ``/v1/chat/completions``, without the streaming."""
    request = {**request, "messages": _shortened_all(request)}
    url = settings.GATEWAY_PUBLIC_URL
    shown = [_curl(url, request), _python(url, request), _javascript(url, request)]
    # Its client takes no field that it does not know, and a prompt of the catalog is one.
    if "prompt" not in request and fronts.find("/model/x/converse") is not None:
        shown.append(_boto3(request))
    return shown


def _curl(url: str, request: dict[str, Any]) -> Snippet:
    body = json.dumps({**request, "stream": True}, indent=2, ensure_ascii=False).replace("'", "'\\''")
    code = (
        f"curl -N {url}/chat/completions \\\n"
        '  -H "Authorization: Bearer $LOBBY_API_KEY" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d '{body}'"
    )
    return {"label": "curl", "lang": "bash", "code": code}


def _python(url: str, request: dict[str, Any]) -> Snippet:
    named = {name: value for name, value in request.items() if name != "prompt"}
    if "prompt" in request:
        named["extra_body"] = {"prompt": request["prompt"]}
    arguments = "".join(f"    {name}={_python_value(value)},\n" for name, value in named.items())
    code = (
        "import os\n\nfrom openai import OpenAI\n\n"
        f'client = OpenAI(base_url={json.dumps(url)}, api_key=os.environ["LOBBY_API_KEY"])\n'
        f"stream = client.chat.completions.create(\n{arguments}    stream=True,\n)\n"
        "for chunk in stream:\n"
        '    print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)'
    )
    return {"label": "Python", "lang": "python", "code": code}


def _javascript(url: str, request: dict[str, Any]) -> Snippet:
    body = _indented(json.dumps({**request, "stream": True}, indent=2, ensure_ascii=False), "")
    code = (
        'import OpenAI from "openai";\n\n'
        f"const client = new OpenAI({{ baseURL: {json.dumps(url)}, apiKey: process.env.LOBBY_API_KEY }});\n"
        f"const stream = await client.chat.completions.create({body});\n"
        "for await (const chunk of stream) {\n"
        '  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");\n'
        "}"
    )
    return {"label": "JavaScript", "lang": "javascript", "code": code}


def _boto3(request: dict[str, Any]) -> Snippet:
    said = [message for message in request["messages"] if message["role"] in ("user", "assistant")]
    messages = [{"role": each["role"], "content": [{"text": text_of(each)}]} for each in said]
    arguments: dict[str, Any] = {"modelId": request["model"], "messages": messages}
    system = [{"text": text_of(each)} for each in request["messages"] if each["role"] == "system"]
    if system:
        arguments["system"] = system
    parameters = {name: request[ours] for ours, name in _CONVERSE_PARAMETERS.items() if ours in request}
    if parameters:
        arguments["inferenceConfig"] = parameters
    shown = "".join(f"    {name}={_python_value(value)},\n" for name, value in arguments.items())
    code = (
        "import os\n\nimport boto3\n\n"
        'os.environ["AWS_BEARER_TOKEN_BEDROCK"] = os.environ["LOBBY_API_KEY"]\n'
        'client = boto3.client("bedrock-runtime", region_name="us-east-1", '
        f"endpoint_url={json.dumps(settings.PORTAL_URL)})\n"
        f"answer = client.converse_stream(\n{shown})\n"
        'for event in answer["stream"]:\n'
        '    print(event.get("contentBlockDelta", {}).get("delta", {}).get("text", ""), end="", flush=True)'
    )
    return {"label": "boto3", "lang": "python", "code": code}


def _python_value(value: Any) -> str:
    return _indented(pprint.pformat(value, width=100, sort_dicts=False), "    ")


def _indented(text: str, by: str) -> str:
    return text.replace("\n", "\n" + by)


def _shortened_all(request: dict[str, Any]) -> list[dict[str, Any]]:
    return [_shortened(message) for message in request["messages"]]


def _shortened(message: dict[str, Any]) -> dict[str, Any]:
    """A file's bytes are named, not printed; a text is cut where nobody would read on."""
    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": _cut(content)}
    if not isinstance(content, list):
        return message
    parts: list[dict[str, Any]] = []
    for part in content:
        if part["type"] == "image_url":
            kind = part["image_url"]["url"].partition(";")[0]
            parts.append({"type": "image_url", "image_url": {"url": f"{kind};base64,…"}})
        else:
            parts.append({**part, "text": _cut(part["text"])})
    return {**message, "content": parts}


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "…"
