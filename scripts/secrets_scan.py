"""Fail when a credential seems to be committed: API keys of Lobby and of providers, private keys, passwords in URLs.

Light by design: only forms that are unmistakable. Test data writes such forms in pieces, or marks the line with
``not-a-secret``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

FORMS = {
    "a Lobby API key": re.compile(r"\blby_[a-z0-9]{10}_[A-Za-z0-9]{43}\b"),
    "an OpenAI or Anthropic key": re.compile(r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}"),
    # AWS's own documentation writes EXAMPLE into the ids of keys that are none.
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)(?![A-Z0-9]*EXAMPLE)[A-Z0-9]{16}\b"),
    "a private key": re.compile(r"-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE KEY-----"),
}
EXEMPT = "not-a-secret"
SKIPPED = (".lock", ".png", ".woff2", ".min.js", ".min.css", ".map")


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout
    found = 0
    for name in listing.decode().split("\0"):
        path = root / name
        if not name or name.endswith(SKIPPED) or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if EXEMPT in line:
                continue
            for what, form in FORMS.items():
                if form.search(line):
                    print(f"{name}:{number}: this looks like {what}")
                    found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
