"""Rebuild ``static/icons.svg`` from the npm package ``lucide-static`` (ISC).

The sprite holds only what the portal uses. To add an icon: put its name into ``NAMES``, unpack the package anywhere,
and run ``python scripts/icons.py PATH/TO/lucide-static/icons``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

SPRITE = Path(__file__).resolve().parent.parent / "static" / "icons.svg"

NAMES = """
activity archive arrow-down arrow-right arrow-up arrow-up-down arrow-up-right audio-lines ban bell binary book-open
bot box boxes braces brain building-2 calculator calendar chart-column check chevron-down chevron-left chevron-right
chevrons-up-down circle circle-alert circle-check circle-dashed circle-dot circle-help circle-slash circle-x
clipboard-check clock cloud code coins command copy cpu database door-open download ellipsis external-link eye eye-off
file-text filter flag flask-conical folder-kanban gauge git-branch git-compare globe hash history house image inbox
info key-round keyboard layers layout-grid link list loader lock lock-open log-out mail menu message-square-text minus
monitor moon network panel-right pencil play plug plus receipt-text refresh-cw rotate-ccw route save scale scroll-text
search send server settings share-2 shield-check sparkles square star sun table terminal thumbs-down thumbs-up timer
trash-2 trending-down trending-up triangle-alert type undo-2 user user-round users video wallet wrench x zap
"""


def symbol(name: str, source: str) -> str:
    """One ``<symbol>``: the icon's drawing without its presentation, which the page's CSS gives."""
    match = re.search(r"<svg[^>]*>(.*)</svg>", source, re.DOTALL)
    if match is None:
        raise SystemExit(f"{name}: not an SVG")
    body = re.sub(r"\s+", " ", match.group(1)).replace(" />", "/>").replace("> <", "><").strip()
    return f'<symbol id="{name}" viewBox="0 0 24 24">{body}</symbol>'


def main(folder: Path) -> None:
    symbols = [symbol(name, (folder / f"{name}.svg").read_text(encoding="utf-8")) for name in sorted(NAMES.split())]
    SPRITE.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg">\n<!-- Icons: Lucide, ISC licence, see vendor/lucide/LICENSE -->\n'
        + "\n".join(symbols)
        + "\n</svg>\n",
        encoding="utf-8",
    )
    sys.stdout.write(f"{len(symbols)} icons in {SPRITE.name}\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
