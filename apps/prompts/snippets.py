"""The lines of code that call a prompt, filled in for it."""

from __future__ import annotations

import json
from pprint import pformat
from typing import Any

from apps.tenants.snippets import Snippet


def prompt_snippets(*, base_url: str, reference: dict[str, Any], model: str) -> list[Snippet]:
    """In curl, Python and JavaScript; the key is in ``LOBBY_API_KEY``. ``reference`` is what goes into ``prompt``.

    Without a default ``model`` the caller has to name one; Python's client always asks for it.
    """
    sent = {"prompt": reference} if model else {"model": "MODEL", "prompt": reference}
    body = json.dumps(sent, ensure_ascii=False, indent=2).replace("'", "'\\''")
    python = _python(reference)
    script = json.dumps(sent, ensure_ascii=False, indent=2).replace("\n", "\n  ")
    return [
        {
            "label": "curl",
            "lang": "bash",
            "code": (
                f"curl {base_url}/chat/completions \\\n"
                '  -H "Authorization: Bearer $LOBBY_API_KEY" \\\n'
                '  -H "Content-Type: application/json" \\\n'
                f"  -d '{body}'"
            ),
        },
        {
            "label": "Python",
            "lang": "python",
            "code": (
                "import os\n\nfrom openai import OpenAI\n\n"
                f'client = OpenAI(base_url={json.dumps(base_url)}, api_key=os.environ["LOBBY_API_KEY"])\n'
                "answer = client.chat.completions.create(\n"
                f"    model={json.dumps(model or 'MODEL')},\n"
                "    messages=[],\n"
                f'    extra_body={{"prompt": {python}}},\n'
                ")\n"
                "print(answer.choices[0].message.content)"
            ),
        },
        {
            "label": "JavaScript",
            "lang": "javascript",
            "code": (
                f'const answer = await fetch("{base_url}/chat/completions", {{\n'
                '  method: "POST",\n'
                "  headers: {\n"
                "    Authorization: `Bearer ${process.env.LOBBY_API_KEY}`,\n"
                '    "Content-Type": "application/json",\n'
                "  },\n"
                f"  body: JSON.stringify({script}),\n"
                "});\n"
                'console.log(answer.headers.get("x-lobby-prompt-version"), await answer.json());'
            ),
        },
    ]


def _python(value: Any) -> str:
    """As Python writes it, over several lines."""
    return pformat(value, width=80, sort_dicts=False).replace("\n", "\n                          ")
