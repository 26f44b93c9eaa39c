"""Lobby's own documentation, cut into sections and searched by BM25 (Robertson and Zaragoza 2009, k1 1.2, b 0.75)."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from apps.models.providers.sandbox.tokens import terms

REPOSITORY: Final = Path(__file__).resolve().parents[4]
_HEADING: Final = re.compile(r"(#{1,4})\s+(.+?)\s*#*$")
_K1, _B = 1.2, 0.75
_TITLE_WEIGHT: Final = 4
_MAX_FILES: Final = 200
# What begins a line of its own in Markdown: an item, a row, a quotation, a tag, a heading.
_BEGINS: Final = re.compile(r"\s*(?:[-*+] |\d+[.)] |[|><]|#{1,6} )")
# Lobby is in every question and says nothing about which section is meant.
_TOO_COMMON: Final = frozenset({"lobby"})


@dataclass(frozen=True, slots=True)
class Section:
    path: str
    title: str
    """Its headings from the document's first to its own, joined by ``: ``."""
    body: str
    number: int
    terms: Counter[str] = field(repr=False)

    @property
    def heading(self) -> str:
        return self.title.rsplit(": ", 1)[-1]


class Library:
    """The sections of ``README.md`` and ``docs/**/*.md`` below ``root``; empty where they were not shipped."""

    def __init__(self, root: Path = REPOSITORY) -> None:
        self.sections: list[Section] = []
        for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))[:_MAX_FILES]]:
            if path.is_file():
                self._read(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8", errors="replace"))
        self._lengths = [section.terms.total() for section in self.sections]
        self._average = sum(self._lengths) / len(self._lengths) if self._lengths else 1.0
        self._containing = Counter(term for section in self.sections for term in section.terms)

    def search(self, question: str, most: int = 5) -> list[Section]:
        """The sections that answer ``question`` best; none if nothing in it is spoken of here."""
        asked = set(terms(question))
        if asked and asked <= _TOO_COMMON:  # “What is Lobby?”: its documentation begins with that
            return self.sections[:most]
        asked -= _TOO_COMMON
        total = len(self.sections)
        scored = []
        for section, length in zip(self.sections, self._lengths, strict=True):
            score = 0.0
            matched = 0.0
            for term in asked:
                frequency = section.terms[term]
                if not frequency:
                    continue
                containing = self._containing[term]
                rarity = math.log(1 + (total - containing + 0.5) / (containing + 0.5))
                score += rarity * frequency * (_K1 + 1) / (frequency + _K1 * (1 - _B + _B * length / self._average))
                matched += 1
            # One word in common is chance when many were asked for.
            if matched and matched / len(asked) >= 0.3:
                scored.append((score, -section.number, section))
        scored.sort(key=lambda entry: entry[:2], reverse=True)
        return [section for _, _, section in scored[:most]]

    def after(self, section: Section, steps: int) -> Section | None:
        """The section ``steps`` further on in the same document."""
        number = section.number + steps
        if number < len(self.sections) and self.sections[number].path == section.path:
            return self.sections[number]
        return None

    def _read(self, path: str, text: str) -> None:
        headings: list[str] = []
        lines: list[str] = []
        fence = ""
        for line in [*text.splitlines(), "# "]:
            mark = line.lstrip()[:3]
            if mark in ("```", "~~~") and (not fence or mark == fence):
                fence = "" if fence else mark
            if not fence and mark.startswith("<"):
                continue  # a picture, or other HTML: nothing to be read
            match = None if fence else _HEADING.match(line + ("." if line == "# " else ""))
            if match is None:
                lines.append(line)
                continue
            self._add(path, headings, "\n".join(lines).strip("\n").rstrip())
            headings = [*headings[: len(match[1]) - 1], match[2]]
            lines = []

    def _add(self, path: str, headings: list[str], body: str) -> None:
        if not body:
            return
        title = ": ".join(headings) or path
        counts = Counter(terms(body))
        for term in terms(headings[-1] if headings else path):
            counts[term] += _TITLE_WEIGHT
        for term in terms(" ".join(headings[:-1])):
            counts[term] += 1
        self.sections.append(Section(path, title, unwrapped(body), len(self.sections), counts))


def unwrapped(markdown: str) -> str:
    """The same with each paragraph and item on one line: where a source breaks its lines, an answer does not."""
    out: list[str] = []
    fence = ""
    goes_on = False
    for line in markdown.split("\n"):
        bare = line.strip()
        mark = bare[:3]
        if mark in ("```", "~~~") and (not fence or mark == fence):
            fence = "" if fence else mark
            out.append(line)
            goes_on = False
        elif goes_on and bare and not _BEGINS.match(line):
            out[-1] += " " + bare
            goes_on = not line.endswith("  ")
        else:
            out.append(line)
            is_code = line.startswith("    ") and not _BEGINS.match(line)
            goes_on = bool(bare) and not fence and not is_code and bare[0] not in "|<#" and not line.endswith("  ")
    return "\n".join(out)
