#!/bin/sh
# What the tests want beside Python: Chromium, PostgreSQL and Redis. Installs Debian's packages where it may (root and
# apt); elsewhere names what is missing, whose tests are then skipped. With CI=true, missing is an error.
set -u

missing=""
# The build without a window starts in a quarter of the time; any other does as well where it is installed already.
for browser in chromium-headless-shell chromium chromium-browser google-chrome none; do
    command -v $browser >/dev/null 2>&1 && break
done
[ $browser != none ] || missing="$missing chromium-headless-shell"
command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
command -v redis-server >/dev/null 2>&1 || command -v valkey-server >/dev/null 2>&1 || missing="$missing redis-server"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "lobby: installing for the tests:$missing"
    log=$(mktemp)
    # No services are started: the tests start servers of their own. policy-rc.d is how Debian is told so.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086  # a list of words
    if apt-get update -qq >"$log" 2>&1 && apt-get install -qq -y --no-install-recommends $missing >>"$log" 2>&1; then
        rm -f "$log"
        exit 0
    fi
    tail -n 20 "$log" >&2
    rm -f "$log"
    echo "lobby: the packages could not be installed." >&2
fi
case "${CI:-}" in
1 | true | yes)
    echo "lobby: CI needs these packages:$missing" >&2
    exit 1
    ;;
esac
echo "lobby: not installed, so tests that need them are skipped:$missing (as root: apt install$missing)"
