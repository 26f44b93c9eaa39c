"""What axe-core finds wrong with a page: the rules of WCAG 2.2 AA that a program can check."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

SOURCE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
GRAVE = {"serious", "critical"}


def grave_violations(page: Page) -> list[str]:
    """``rule: where``, one for each element that breaks a rule seriously or critically."""
    # Through the debugger, not as a script of the page: the content security policy stays as it is.
    page.evaluate(SOURCE.read_text(encoding="utf-8"))
    found = page.evaluate(
        "tags => axe.run(document, {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']})", TAGS
    )
    return [
        f"{violation['id']}: {node['html'][:200]} ({(node.get('failureSummary') or '')[:200]})"
        for violation in found["violations"]
        if violation["impact"] in GRAVE
        for node in violation["nodes"]
    ]
