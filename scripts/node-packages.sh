#!/bin/sh
# What the tests of JavaScript clients want: the packages of tests/clients/node, exactly as its lock says, without
# running any script of theirs. Without node or npm those tests are skipped; with CI=true, missing is an error.
set -eu
cd "$(dirname "$0")/../tests/clients/node"

stamp=node_modules/.lobby-lock
[ -d node_modules ] && cmp -s package-lock.json "$stamp" && exit 0
if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; then
    echo "lobby: installing the JavaScript clients for the tests"
    if npm ci --ignore-scripts --no-audit --no-fund --silent; then
        cp package-lock.json "$stamp"
        exit 0
    fi
    reason="the packages could not be installed"
else
    reason="node and npm are not here"
fi
case "${CI:-}" in
1 | true | yes)
    echo "lobby: CI needs the JavaScript clients: $reason" >&2
    exit 1
    ;;
esac
echo "lobby: $reason, so the tests of JavaScript clients are skipped"
