"""The lines of code that call the gateway, as people paste them."""

from __future__ import annotations

import json
from typing import TypedDict

EXAMPLE_MODEL = "sandbox-chat"  # open to every tenant
QUESTION = "What can Lobby do for me?"


class Snippet(TypedDict):
    """One tab of ``components/copy_code.html``; ``lang`` is Pygments' name."""

    label: str
    lang: str
    code: str


def chat_snippets(*, base_url: str, key: str, model: str = EXAMPLE_MODEL) -> list[Snippet]:
    """A streaming chat call in curl, Python and JavaScript. ``key`` is a plaintext key or ``$LOBBY_API_KEY``."""
    message = json.dumps({"role": "user", "content": QUESTION})
    body = f'{{"model": {json.dumps(model)}, "stream": true,\n       "messages": [{message}]}}'
    from_environment = key.startswith("$")
    python_key = 'os.environ["LOBBY_API_KEY"]' if from_environment else json.dumps(key)
    script_key = "process.env.LOBBY_API_KEY" if from_environment else json.dumps(key)
    python_import = "import os\n\n" if from_environment else ""
    return [
        {
            "label": "curl",
            "lang": "bash",
            "code": (
                f"curl -N {base_url}/chat/completions \\\n"
                f'  -H "Authorization: Bearer {key}" \\\n'
                '  -H "Content-Type: application/json" \\\n'
                f"  -d '{body}'"
            ),
        },
        {
            "label": "Python",
            "lang": "python",
            "code": (
                f"{python_import}from openai import OpenAI\n\n"
                f"client = OpenAI(base_url={json.dumps(base_url)}, api_key={python_key})\n"
                "stream = client.chat.completions.create(\n"
                f"    model={json.dumps(model)},\n"
                f'    messages=[{{"role": "user", "content": {json.dumps(QUESTION)}}}],\n'
                "    stream=True,\n"
                ")\n"
                "for chunk in stream:\n"
                '    print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)'
            ),
        },
        {
            "label": "JavaScript",
            "lang": "javascript",
            "code": (
                'import OpenAI from "openai";\n\n'
                f"const client = new OpenAI({{ baseURL: {json.dumps(base_url)}, apiKey: {script_key} }});\n"
                "const stream = await client.chat.completions.create({\n"
                f"  model: {json.dumps(model)},\n"
                f'  messages: [{{ role: "user", content: {json.dumps(QUESTION)} }}],\n'
                "  stream: true,\n"
                "});\n"
                "for await (const chunk of stream) {\n"
                '  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");\n'
                "}"
            ),
        },
    ]


def boto3_snippet(*, base_url: str, access_key_id: str, secret_access_key: str, model: str = EXAMPLE_MODEL) -> Snippet:
    """The same call by AWS's SDK. ``base_url`` is the OpenAI clients' own, which ends in ``/v1``."""
    endpoint = base_url.rstrip("/").removesuffix("/v1")
    return {
        "label": "boto3",
        "lang": "python",
        "code": (
            "import boto3\n\n"
            "client = boto3.client(\n"
            '    "bedrock-runtime",\n'
            f"    endpoint_url={json.dumps(endpoint)},\n"
            '    region_name="us-east-1",\n'
            f"    aws_access_key_id={json.dumps(access_key_id)},\n"
            f"    aws_secret_access_key={json.dumps(secret_access_key)},\n"
            ")\n"
            "answer = client.converse_stream(\n"
            f"    modelId={json.dumps(model)},\n"
            f'    messages=[{{"role": "user", "content": [{{"text": {json.dumps(QUESTION)}}}]}}],\n'
            ")\n"
            'for event in answer["stream"]:\n'
            '    print(event.get("contentBlockDelta", {}).get("delta", {}).get("text", ""), end="", flush=True)'
        ),
    }
