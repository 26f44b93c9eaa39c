"""The lines of code on a model's card, filled in for it."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings

from apps.models.models import Model
from apps.models.types import ModelKind
from apps.tenants.snippets import Snippet, chat_snippets

TEXTS = ["How do I close my account?", "Closing an account"]


def snippets_for(model: Model) -> list[Snippet]:
    """In curl, Python and JavaScript; the key comes from ``LOBBY_API_KEY``."""
    if model.kind == ModelKind.EMBEDDING:
        return _embedding_snippets(model.slug, settings.GATEWAY_PUBLIC_URL)
    if model.kind in _REQUESTS:
        return _opaque_snippets(model.slug, model.kind, settings.GATEWAY_PUBLIC_URL)
    return chat_snippets(base_url=settings.GATEWAY_PUBLIC_URL, key="$LOBBY_API_KEY", model=model.slug)


# By the kind of model: the path, what is asked, the official client's call of it, and what is made of the answer. The
# client has no word for rerank, but passes any path on.
_REQUESTS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    ModelKind.RERANK: (
        "/rerank",
        {"query": TEXTS[0], "documents": ["Opening hours", TEXTS[1]]},
        'client.post("/rerank", cast_to=object, body={{"model": {model}, **{fields}}})',
        'print(answer["results"])',
    ),
    ModelKind.IMAGE: (
        "/images/generations",
        {"prompt": "A lobby with tall windows, in watercolour"},
        "client.images.generate(model={model}, **{fields})",
        "print(answer.data[0].url or len(answer.data[0].b64_json))",
    ),
    ModelKind.TRANSCRIPTION: (
        "/audio/transcriptions",
        {},
        'client.audio.transcriptions.create(model={model}, file=open("speech.mp3", "rb"))',
        "print(answer.text)",
    ),
    ModelKind.SPEECH: (
        "/audio/speech",
        {"input": "Your claim has been settled.", "voice": "alloy"},
        "client.audio.speech.create(model={model}, **{fields})",
        'answer.write_to_file("speech.mp3")',
    ),
    ModelKind.MODERATION: (
        "/moderations",
        {"input": TEXTS[0]},
        "client.moderations.create(model={model}, **{fields})",
        "print(answer.results[0].flagged)",
    ),
}


def _opaque_snippets(slug: str, kind: str, base_url: str) -> list[Snippet]:
    """In curl and Python."""
    path, fields, call, then = _REQUESTS[kind]
    authorized = f'curl {base_url}{path} \\\n  -H "Authorization: Bearer $LOBBY_API_KEY" \\\n'
    if kind == ModelKind.TRANSCRIPTION:
        curl = authorized + f"  -F model={json.dumps(slug)} -F file=@speech.mp3"
    else:
        body = json.dumps({"model": slug, **fields})
        curl = authorized + f"  -H \"Content-Type: application/json\" \\\n  -d '{body}'"
    if kind == ModelKind.SPEECH:
        curl += " \\\n  --output speech.mp3"
    python = (
        "import os\n\nfrom openai import OpenAI\n\n"
        f'client = OpenAI(base_url={json.dumps(base_url)}, api_key=os.environ["LOBBY_API_KEY"])\n'
        f"answer = {call.format(model=json.dumps(slug), fields=json.dumps(fields))}\n{then}"
    )
    return [
        {"label": "curl", "lang": "bash", "code": curl},
        {"label": "Python", "lang": "python", "code": python},
    ]


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
