"""The lines of code on a model's card, filled in for it."""

from __future__ import annotations

import json

from django.conf import settings

from apps.models.models import Model
from apps.models.types import ModelKind
from apps.tenants.snippets import Snippet, chat_snippets

TEXTS = ["How do I close my account?", "Closing an account"]


def snippets_for(model: Model) -> list[Snippet]:
    """In curl, Python and JavaScript; the key comes from ``LOBBY_API_KEY``."""
    if model.kind == ModelKind.EMBEDDING:
        return _embedding_snippets(model.slug, settings.GATEWAY_PUBLIC_URL)
    return chat_snippets(base_url=settings.GATEWAY_PUBLIC_URL, key="$LOBBY_API_KEY", model=model.slug)


def _embedding_snippets(slug: str, base_url: str) -> list[Snippet]:
    name, texts = json.dumps(slug), json.dumps(TEXTS)
    return [
        {
            "label": "curl",
            "lang": "bash",
            "code": (
                f"curl {base_url}/embeddings \\\n"
                '  -H "Authorization: Bearer $LOBBY_API_KEY" \\\n'
                '  -H "Content-Type: application/json" \\\n'
                f"  -d '{json.dumps({'model': slug, 'input': TEXTS})}'"
            ),
        },
        {
            "label": "Python",
            "lang": "python",
            "code": (
                "import os\n\nfrom openai import OpenAI\n\n"
                f'client = OpenAI(base_url={json.dumps(base_url)}, api_key=os.environ["LOBBY_API_KEY"])\n'
                "answer = client.embeddings.create(\n"
                f"    model={name},\n"
                f"    input={texts},\n"
                ")\n"
                "for item in answer.data:\n"
                "    print(len(item.embedding), item.embedding[:3])"
            ),
        },
        {
            "label": "JavaScript",
            "lang": "javascript",
            "code": (
                'import OpenAI from "openai";\n\n'
                f"const client = new OpenAI({{ baseURL: {json.dumps(base_url)}, "
                "apiKey: process.env.LOBBY_API_KEY });\n"
                "const answer = await client.embeddings.create({\n"
                f"  model: {name},\n"
                f"  input: {texts},\n"
                "});\n"
                "for (const item of answer.data) console.log(item.embedding.length, item.embedding.slice(0, 3));"
            ),
        },
    ]
