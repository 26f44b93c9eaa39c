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
