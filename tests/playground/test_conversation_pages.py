"""A conversation's acts over HTTP: the list, the permalink's page, exports, differences, the code of a call."""

from __future__ import annotations

import html
import json
import re

import pytest
from django.test import Client
from django.urls import reverse

from apps.playground import selectors, services
from apps.playground.markdown import to_html
from apps.playground.models import Conversation
from apps.playground.snippets import snippets_for
from apps.playground.types import Attached, Column, Parameters, plain
from tests.cast import Cast
from tests.playground.test_conversations import PIXEL, TWO, begin, finish
from tests.playground.test_opinion_pages import HTMX, client_of

SCRIPT = "<script>alert(1)</script>"


def talk(cast: Cast, *, blind: bool = False) -> services.Begun:
    """Two turns; of the first there is another branch."""
    first = begin(cast, f"Hello {SCRIPT}", columns=TWO, blind=blind)
    finish(first.answers[0], f"# Dear Ada\n\nGood *day* {SCRIPT}")
    finish(first.answers[1], "Dear Ada, good evening")
    if not blind:
        begin(cast, "Elsewhere", columns=TWO, conversation=first.conversation)
        second = begin(cast, "More", columns=TWO, conversation=first.conversation, parent=first.turn.pk)
        finish(second.answers[0], "More of A")
        finish(second.answers[1], "More of B")
    return first


def url(name: str, conversation: Conversation) -> str:
    return reverse(f"playground:conversation-{name}", args=[conversation.public_id])


def test_the_list_is_ones_own_and_searches_questions_and_answers(cast: Cast) -> None:
    talk(cast)
    begin(cast, "Another thing", by="scientist")
    client = client_of(cast)
    shown = client.get(reverse("playground:conversation-list"), {"q": "evening dear"}).content.decode()
    assert shown.count('data-testid="conversation-row"') == 1
    assert "Another thing" not in client.get(reverse("playground:conversation-list")).content.decode()
    fragment = client.get(
        reverse("playground:conversation-list"),
        {"q": "nothing like it"},
        headers={**HTMX, "HX-Target": "conversation-list"},
    ).content.decode()
    assert "Nothing here speaks of" in fragment
    assert "<html" not in fragment


def test_rename_and_delete(cast: Cast) -> None:
    conversation = talk(cast).conversation
    client = client_of(cast)
    response = client.post(url("rename", conversation), {"title": "Letters"}, headers=HTMX)
    assert json.loads(response.headers["HX-Trigger"])["playground:conversation"]["title"] == "Letters"
    assert client.post(url("rename", conversation), {"title": " "}, headers=HTMX).status_code == 422
    client.post(url("use-case", conversation), {"use_case": "draft"})
    conversation.refresh_from_db()
    assert (conversation.title, conversation.use_case) == ("Letters", "draft")
    assert client_of(cast, "owner").post(url("delete", conversation)).status_code == 404
    gone = client.post(url("delete", conversation), headers=HTMX)
    assert gone.headers["HX-Redirect"] == reverse("playground:index")
    assert not Conversation.objects.unscoped("test").exists()


def test_a_permalink_is_read_by_the_tenant_alone_until_it_dies(cast: Cast) -> None:
    conversation = talk(cast).conversation
    client = client_of(cast)
    shared = client.post(url("share", conversation), headers=HTMX).content.decode()
    conversation.refresh_from_db()
    link = reverse("playground:shared", args=[conversation.share_token])
    assert link in shared
    read = client_of(cast, "viewer").get(link)
    text = read.content.decode()
    assert "<h1>Dear Ada</h1>" in text
    assert "More of B" in text
    assert "Elsewhere" not in text  # another branch
    assert SCRIPT not in text
    assert client_of(cast, "outsider").get(link).status_code == 404
    forked = client_of(cast, "scientist").post(f"{link}fork/", {"project": "triage"})
    copy = selectors.conversations_for(cast.actor("scientist"), cast.claims).get()
    assert copy.public_id in forked.headers["Location"]
    assert [turn.message for turn in selectors.turns_of(copy)] == [f"Hello {SCRIPT}", "More"]
    client.post(url("share", conversation), {"off": "1"}, headers=HTMX)
    assert client_of(cast, "viewer").get(link).status_code == 404


def test_a_fork_ends_where_it_is_told(cast: Cast) -> None:
    begun = talk(cast)
    client = client_of(cast)
    client.post(url("fork", begun.conversation), {"turn": str(begun.turn.pk), "project": "triage"})
    copy = selectors.conversations_for(cast.actor("developer"), cast.claims).exclude(pk=begun.conversation.pk).get()
    assert [turn.message for turn in selectors.turns_of(copy)] == [f"Hello {SCRIPT}"]
    for wrong in ("999999", "x", "0"):
        assert client.post(url("fork", begun.conversation), {"turn": wrong}).status_code == 404


def test_exports_hold_what_was_said(cast: Cast) -> None:
    conversation = talk(cast).conversation
    client = client_of(cast)
    markdown = client.get(url("export", conversation))
    assert markdown.headers["Content-Disposition"].startswith('attachment; filename="hello')
    text = markdown.content.decode()
    assert text.index("# Hello") < text.index("Dear Ada") < text.index("More of B")
    assert "Elsewhere" not in text
    tree = client.get(url("export", conversation), {"format": "json"}).json()
    assert [turn["parent"] for turn in tree["turns"]] == [None, None, tree["turns"][0]["id"]]
    assert tree["turns"][0]["answers"][1]["settings"]["parameters"] == {"temperature": 0.5}


def test_nothing_of_a_blind_conversation_tells_the_models(cast: Cast) -> None:
    begun = talk(cast, blind=True)
    client = client_of(cast)
    assert client.get(url("export", begun.conversation)).status_code == 409
    assert client.get(reverse("playground:code", args=[begun.answers[0].pk])).status_code == 409
    assert client.post(url("share", begun.conversation)).status_code == 409
    assert client.post(url("fork", begun.conversation)).status_code == 409


def test_the_code_of_a_call_runs_with_ones_own_key(cast: Cast) -> None:
    column = Column(model="writer", system="Say 'yes'.", parameters=Parameters(temperature=0.2, max_tokens=50))
    first = begin(cast, "One\ntwo", columns=[column])
    finish(first.answers[0], "It's so")
    second = begin(cast, "More", columns=[column], conversation=first.conversation, parent=first.turn.pk)
    finish(second.answers[0], "Last")
    shown = client_of(cast).get(reverse("playground:code", args=[second.answers[0].pk])).content.decode()
    for part in ("curl", "JavaScript", "LOBBY_API_KEY", "max_tokens", "Say "):
        assert part in shown
    assert "Last" not in shown  # what it is about to answer
    request = {"model": "writer", "messages": [{"role": "user", "content": 'It\'s "so"\nIs it?'}], "temperature": 0.2}
    for snippet in snippets_for(request):
        if snippet["lang"] == "python":
            compile(snippet["code"], snippet["label"], "exec")
    curl = next(each["code"] for each in snippets_for(request) if each["label"] == "curl")
    body = curl.split("-d '", 1)[1].rsplit("'", 1)[0].replace("'\\''", "'")
    assert json.loads(body)["messages"] == request["messages"]


def test_the_code_of_what_is_not_asked_yet_has_all_that_led_to_it(cast: Cast) -> None:
    tool = {"name": "look_up", "parameters": {"type": "object"}}
    column = Column(model="writer", tools=[tool])
    begun = begin(cast, "First", columns=[column], attachments=[Attached("notes.md", "text/markdown", "# Notes")])
    call = {"id": "call-1", "name": "look_up", "arguments": "{}"}
    finish(begun.answers[0], "", tool_calls=[call])
    mine = selectors.get_answer_for(cast.actor("developer"), begun.answers[0].pk)
    step = services.continue_answer(actor=cast.actor("developer"), answer=mine, results={"call-1": "Found"})
    finish(step.answers[0], "So it is")
    draft = {
        "column": plain(column), "message": "And then?", "conversation": begun.conversation.public_id,
        "turn": begun.turn.pk, "at": 0,
        "attachments": [{"name": "a.png", "media_type": "image/png", "data": PIXEL}],
    }  # fmt: skip
    code = reverse("playground:draft-code")
    shown = client_of(cast).post(code, {"request": json.dumps(draft)}).content.decode()
    told = html.unescape(re.sub("<[^>]+>", "", shown))
    for part in ("First", "# Notes", "call-1", "Found", "So it is", "And then?", "are left out", "base64,…"):
        assert part in told
    assert PIXEL not in told
    for who in ("owner", "outsider"):
        assert client_of(cast, who).post(code, {"request": json.dumps(draft)}).status_code == 404
    blind = begin(cast, "Blind", columns=TWO, blind=True)
    draft |= {"conversation": blind.conversation.public_id, "turn": blind.turn.pk}
    assert client_of(cast).post(code, {"request": json.dumps(draft)}).status_code == 409
    assert client_of(cast).post(code, {"request": "{"}).status_code == 400


@pytest.mark.parametrize("language", ["python", "PYTHON", "sql", "brainfuck", "", "<b>"])
def test_code_is_coloured_and_harmless(language: str) -> None:
    html = to_html(f"```{language}\nx = 1 < 2  # {SCRIPT}\n```")
    assert SCRIPT not in html
    assert ("tok-" in html) == (language.lower() in {"python", "sql"})
    assert "class=" not in html.replace('class="tok-', "")


def test_a_reader_without_the_role_reads_and_cannot_fork(cast: Cast) -> None:
    conversation = talk(cast).conversation
    services.share_conversation(actor=cast.actor("developer"), conversation=conversation)
    link = reverse("playground:shared", args=[conversation.share_token])
    client: Client = client_of(cast, "viewer")
    assert 'data-testid="shared-fork"' not in client.get(link).content.decode()
    assert client.post(f"{link}fork/").status_code in {302, 403}
    assert not selectors.conversations_for(cast.actor("viewer"), cast.claims).exists()
