#!/usr/bin/env bash
# Calls a number: OFFHOOK_KEY=oh_key_... bash call.sh +15550100900
set -euo pipefail

: "${OFFHOOK_KEY:?must be an API key that may place calls}"
to=${1:-}
if ! [[ $to =~ ^\+[1-9][0-9]{6,14}$ ]]; then
    echo "Whom to call, in E.164: bash call.sh +15550100900" >&2
    exit 2
fi

# New for each run, the same for its attempts: repeated, the request rings nobody twice.
key=$(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
status=0
# Asked to wait, curl waits as long as Retry-After says, else twice as long each time, and gives up after a minute.
curl --silent --show-error --fail-with-body --max-time 30 --retry 8 --retry-max-time 60 --output "$answer" \
    --header "Authorization: Bearer $OFFHOOK_KEY" \
    --header "Idempotency-Key: $key" \
    --header 'Content-Type: application/json' \
    --data §body§ \
    §url§ || status=$?
cat "$answer"
exit "$status"
