#!/bin/sh
# Make .venv hold what the lock files say: "runtime" (requirements.lock) or "dev" (requirements-dev.lock, a superset).
# Costs nothing when the locks have not changed since. PYTHON names the interpreter for a new .venv.
set -eu
cd "$(dirname "$0")/.."

want=${1:?usage: scripts/environment.sh runtime|dev}
stamp=.venv/lobby-locks

fail() {
    echo "lobby: $*" >&2
    exit 1
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null 2>&1 || fail "PYTHON=$PYTHON is not a program. Name a Python 3.11 or newer."
        new_enough "$PYTHON" || fail "PYTHON=$PYTHON is $("$PYTHON" -V 2>&1); Lobby needs Python 3.11 or newer."
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python3.14 python; do
        if command -v "$candidate" >/dev/null 2>&1 && new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    if command -v python3 >/dev/null 2>&1; then
        fail "python3 is $(python3 -V 2>&1 | head -n 1); Lobby needs Python 3.11 or newer. Install it, or name it: make PYTHON=/path/to/python3.11"
    fi
    fail "no Python was found. Install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3.11"
}

checksum() {
    .venv/bin/python -c 'import hashlib, sys
digest = hashlib.sha256()
for name in sys.argv[1:]:
    with open(name, "rb") as file:
        digest.update(file.read())
print(digest.hexdigest())' "$@"
}

# A .venv that was copied from elsewhere, or whose Python is gone, is made anew.
if ! .venv/bin/python -c 'import os, sys
sys.exit(sys.version_info < (3, 11) or os.path.realpath(sys.prefix) != os.path.realpath(".venv"))' 2>/dev/null; then
    python=$(find_python)
    echo "lobby: making .venv with $("$python" -V 2>&1)"
    rm -rf .venv
    "$python" -m venv .venv >.venv-error.log 2>&1 || {
        sed 's/^/    /' .venv-error.log >&2
        rm -rf .venv .venv-error.log
        fail "$python cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv"
    }
    rm -f .venv-error.log
fi

case $want in
runtime) lock=requirements.lock ;;
dev) lock=requirements-dev.lock ;;
*) fail "unknown environment $want" ;;
esac
runtime_sum=$(checksum requirements.lock)
dev_sum=$(checksum requirements.lock requirements-dev.lock)
have=$(cat "$stamp" 2>/dev/null || true)
if [ "$have" = "dev $dev_sum" ] || { [ "$want" = runtime ] && [ "$have" = "runtime $runtime_sum" ]; }; then
    exit 0
fi

rm -f "$stamp"
uv=$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements-uv.lock)
if [ "$(.venv/bin/uv --version 2>/dev/null | cut -d' ' -f2)" != "${uv#uv==}" ]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock ||
        fail "pip could not install $uv: see above. Is the package index reachable?"
fi
echo "lobby: installing what $lock says (once; about a minute on a quick line)"
VIRTUAL_ENV="$PWD/.venv" .venv/bin/uv pip sync --quiet --require-hashes "$lock" ||
    fail "the dependencies could not be installed: see above. Is the package index reachable?"
if [ "$want" = dev ]; then echo "dev $dev_sum" >"$stamp"; else echo "runtime $runtime_sum" >"$stamp"; fi
