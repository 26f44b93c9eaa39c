#!/bin/sh
# Write the lock files: exact versions with hashes for every supported Python, and nothing of this machine.
# Give uv's options to change versions: scripts/lock.sh --upgrade, or --upgrade-package django.
set -eu
cd "$(dirname "$0")/.."

compile() {
    output=$1
    shift
    .venv/bin/uv pip compile "$@" --output-file "$output" --quiet --universal --fork-strategy fewest \
        --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links
}

compile requirements.lock pyproject.toml --extra worker "$@"
compile requirements-dev.lock pyproject.toml requirements-dev.in --extra worker --constraint requirements.lock "$@"
echo uv | compile requirements-uv.lock - "$@"

if grep -nE '://|^-|@ ' requirements.lock requirements-dev.lock requirements-uv.lock; then
    echo "A lock file names an address or an option of this machine: see above." >&2
    exit 1
fi
