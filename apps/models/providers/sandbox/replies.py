"""What the sandbox says in words: from Lobby's documentation where it can, or else plainly that it is simulated."""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from apps.models.providers.sandbox.library import Library, Section
from apps.models.providers.sandbox.tokens import terms

_EXCERPT: Final = 1_400
_FOLLOW_UP: Final = re.compile(
    r"(?:ok(?:ay)?|yes|please|and|then|,|\s)*"
    r"(?:(?:tell|show) me more|more|go on|continue|keep going|next|what else|and then|anything else)"
    r"(?:\s+(?:about (?:it|that|this)|please|details|detail))*[\s.!?…]*",
    re.IGNORECASE,
)
_ECHO: Final = re.compile(
    r"\s*(?:please\s+)?(?:say|repeat(?: after me)?|echo|(?:reply|respond|answer) (?:only |just )?with)"
    r"(?: only| exactly| just)?(?: the words?)?\s*:?\s+(.{1,2000})",
    re.IGNORECASE | re.DOTALL,
)
_SUMMARISE: Final = re.compile(r"\s*(?:please\s+)?(?:summari[sz]e|sum up|tl;?dr)\b[^:\n]{0,80}[:\n]?", re.IGNORECASE)
_SENTENCE: Final = re.compile(r"[^.!?\n]+[.!?]*")
_FENCE: Final = re.compile(r"^\s*(```|~~~)", re.MULTILINE)

_TALK: Final[tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]] = tuple(
    (re.compile(rf"\W*(?:{pattern})\b", re.IGNORECASE), answers)
    for pattern, answers in (
        (
            r"(?:hi|hello|hey|good (?:morning|afternoon|evening)|greetings|howdy)",
            (
                "Hello! I am Lobby's **sandbox**, a simulated model: no provider is called and nothing is billed. "
                "Ask me how something in Lobby works, and I look it up in its documentation.",
                "Hi there! You have reached the **sandbox**, a model that Lobby simulates by itself. "
                "Try “How do budgets work?”, or “What can you do?”.",
            ),
        ),
        (
            r"(?:thanks|thank you|thx|cheers|great|nice|perfect|awesome|well done)",
            (
                "You're welcome! I am only simulated, but glad to be of use.",
                "My pleasure. Is there something else about Lobby that you would like to know?",
            ),
        ),
        (
            r"(?:bye|goodbye|see you|good night)",
            ("Goodbye! The sandbox is always open.", "See you! I'll be here, as simulated as ever."),
        ),
        (
            r"(?:how are you|how do you do|how is it going|how's it going|what's up)",
            (
                "Deterministically well, thank you: I am a simulated model and feel the same every time. And you?",
                "All my rules are in order, thank you. I am simulated, so that is as good as it gets.",
            ),
        ),
        (
            r"(?:who|what) are you|what(?:'s| is) your name|are you (?:real|human|a bot|an ai|chatgpt|gpt|claude)",
            (
                "I am Lobby's **sandbox**: a small program that simulates a language model. I stream, "
                "call tools, fill JSON schemas and count tokens, yet I understand nothing. "
                "For real work choose another model.",
            ),
        ),
        (
            r"tell me a joke|(?:do you )?know (?:a|any) jokes?",
            (
                "A request walks into a lobby. The receptionist says: “Your key, please. Your limit is fine, your "
                "budget is fine … and you are talking to the sandbox.” (A simulated joke; nobody was billed.)",
            ),
        ),
    )
)
_ABILITIES: Final = re.compile(r"\W*(?:help|what can (?:you|i) (?:do|ask)|how (?:can|do) i use you)\b", re.IGNORECASE)
_SHOW: Final = re.compile(
    r"\bmarkdown\b|\b(?:a|some|an example of) (?:table|code block|code|bullet list|list)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Reply:
    text: str
    thought: str


class Writer:
    """Writes the answer to a conversation. Which of several wordings is the random generator's to say."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def reply(self, turns: list[str], pictures: list[str], chance: random.Random) -> Reply:
        """``turns`` are the user's, the last one last, ``pictures`` what each image in the last one is."""
        asked = turns[-1] if turns else ""
        seen = f"I received {_count(len(pictures), 'image')}: {'; '.join(pictures)}." if pictures else ""
        reply = self._say(turns, asked, chance) if asked.strip() or not pictures else None
        if reply is None:
            return Reply(
                f"{seen} I am simulated and cannot see what is in it.", "There are images, and no words with them."
            )
        if seen:
            return Reply(f"{seen} I am simulated and cannot see what is in it.\n\n{reply.text}", reply.thought)
        return reply

    def _say(self, turns: list[str], asked: str, chance: random.Random) -> Reply:
        asked = asked.strip()
        if _FOLLOW_UP.fullmatch(asked):
            return self._more(turns)
        if match := _ECHO.fullmatch(asked):
            return Reply(match[1].strip().strip("\"'“”`"), "I am asked to say something, so I say it.")
        if (match := _SUMMARISE.match(asked)) and len(asked) - match.end() > 200:
            return _summary(asked[match.end() :])
        if len(asked.split()) <= 9:
            for pattern, answers in _TALK:
                if pattern.match(asked):
                    return Reply(
                        chance.choice(answers), "This is small talk: a friendly word, and that I am simulated."
                    )
        if _ABILITIES.match(asked):
            return Reply(_ABILITY_TEXT, "I am asked what I can do.")
        if _SHOW.search(asked):
            return Reply(_SHOWCASE, "I am asked to show formatting.")
        found = self._library.search(asked)
        if not found and len(turns) > 1 and len(terms(asked)) <= 4:
            found = self._library.search(f"{turns[-2]} {asked}")  # “And in production?”
        if not found:
            return self._nothing(asked)
        return self._cite(found, chance)

    def _cite(self, found: list[Section], chance: random.Random) -> Reply:
        best, others = found[0], [section for section in found[1:4] if section.title != found[0].title]
        opening = chance.choice(
            (
                "This is what Lobby's documentation says about it.",
                "Here is the part of Lobby's documentation that answers best.",
                "Lobby's documentation has a section on this.",
            )
        )
        parts = [opening, f"### {best.heading}", _excerpt(best.body), _source(best)]
        if others:
            parts.append("See also:\n" + "\n".join(f"- {section.heading} (`{section.path}`)" for section in others))
        thought = (
            f"The question shares the most telling words with the section “{best.title}” of {best.path}. "
            f"I quote it and name it{' along with others that come near' if others else ''}."
        )
        return Reply("\n\n".join(parts), thought)

    def _more(self, turns: list[str]) -> Reply:
        steps = 0
        anchor = ""
        for turn in reversed(turns):
            if _FOLLOW_UP.fullmatch(turn.strip()):
                steps += 1
            else:
                anchor = turn
                break
        found = self._library.search(anchor) if anchor else []
        if not found:
            return Reply("More of what? Ask me something about Lobby first.", "There is nothing to go on from.")
        following: list[Section] = []
        while section := self._library.after(found[0], len(following) + 1):
            following.append(section)
        pages = [*following, *(section for section in found[1:] if section not in following)]
        if steps > len(pages):
            return Reply("That is all that the documentation has on it.", "Every section on this was quoted already.")
        page = pages[steps - 1]
        text = "\n\n".join(["It goes on like this.", f"### {page.heading}", _excerpt(page.body), _source(page)])
        return Reply(text, f"I am asked to go on, so I quote the next section, “{page.title}” of {page.path}.")

    def _nothing(self, asked: str) -> Reply:
        words = len(asked.split())
        known = self._library.sections
        place = (
            f"Lobby's documentation ({len(known)} sections)"
            if known
            else "my documentation, which was not shipped here,"
        )
        text = (
            f"I found nothing in {place} about that. I am Lobby's **sandbox**, a simulated model: I can look things "
            "up, but not think. This is what reached me:\n\n"
            "| what | how much |\n| --- | --- |\n"
            f"| your message | {_count(words, 'word')}, {_count(len(asked), 'character')} |\n"
            f"| words I searched for | {', '.join(list(dict.fromkeys(terms(asked)))[:8]) or 'none'} |\n\n"
            "For an answer, choose a model of a real provider. To see what I can do, ask “What can you do?”."
        )
        return Reply(text, "No section of the documentation shares enough words with the question. I say so.")


def filler_text(tokens: int) -> str:
    """A text of at least ``tokens`` tokens."""
    lines: list[str] = []
    size = 0
    while size < tokens:
        number = len(lines) + 1
        lines.append(
            f"This is line {number} of a long answer, written so that streams, limits and costs can be tried. "
        )
        size += 18
    return "".join(lines)


def _excerpt(body: str) -> str:
    """The section's first blocks, never cut within a paragraph or a code block."""
    if len(body) <= _EXCERPT:
        return body
    kept: list[str] = []
    size = 0
    for block in _blocks(body):
        if kept and size + len(block) > _EXCERPT:
            return "\n\n".join([*kept, "_There is more: ask me to “continue”._"])
        kept.append(block)
        size += len(block)
    return "\n\n".join(kept)


def _blocks(body: str) -> list[str]:
    blocks: list[str] = []
    for part in body.split("\n\n"):
        if blocks and len(_FENCE.findall(blocks[-1])) % 2:
            blocks[-1] += "\n\n" + part
        elif part.strip():
            blocks.append(part)
    return blocks


def _source(section: Section) -> str:
    return f"**Source:** `{section.path}`, section “{section.title}”"


def _summary(text: str) -> Reply:
    """The three sentences that have most of the text's frequent words, in their order."""
    sentences = [sentence.strip() for sentence in _SENTENCE.findall(text) if len(sentence.split()) > 2][:2_000]
    frequent = Counter(terms(text))
    weights = [
        sum(frequent[term] for term in set(terms(sentence))) / (8 + len(sentence.split())) for sentence in sentences
    ]
    best = sorted(sorted(range(len(sentences)), key=lambda number: -weights[number])[:3])
    listed = "\n".join(f"- {sentences[number]}" for number in best)
    return Reply(
        f"The sentences that carry most of the text's frequent words (a simulated summary):\n\n{listed}",
        "I pick the three sentences whose words come up most often.",
    )


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


_ABILITY_TEXT: Final = """I am a simulated model, made for trying Lobby out without an account. I can:

- **answer questions about Lobby** from its own documentation, and name the section;
- **call tools** when your words match a tool, or when you force one;
- **fill a JSON schema** given as the response format;
- **stream**, count tokens, report cached and reasoning tokens, and obey `stop` and `max_tokens`;
- **misbehave on demand**, by test cards in a message:

| card | what happens |
| --- | --- |
| `[[slow]]` | a long wait, then slow chunks |
| `[[refuse]]` | a refusal |
| `[[error:429]]` | an error of that status |
| `[[cut:5]]` | the stream breaks after five chunks |
| `[[timeout]]` | no answer ever |
| `[[long:2000]]` | an answer of 2,000 tokens |

They are all described in `docs/sandbox.md`."""

_SHOWCASE: Final = """Here is a bit of everything, from a simulated model.

1. A numbered list
2. with **bold**, *italic* and `code`
   - and a nested point

| model | speed | price |
| --- | ---: | ---: |
| sandbox-chat | 120 tokens/s | nothing |
| sandbox-reasoner | 120 tokens/s | nothing |

```python
from openai import OpenAI

client = OpenAI(base_url="http://localhost:8000/v1")
print(client.models.list())
```

> And a quotation, to end with."""
