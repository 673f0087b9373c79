#!/usr/bin/env bash
# Counts how often each word of data.text occurs.
set -euo pipefail
task=$(cat)
say() { printf '%s\n' "$1" >>"${GRIDSIDECAR_EVENTS:-/dev/stdout}"; }
if ! text=$(jq -er '.data.text | strings' <<<"$task"); then
  say "$(jq -cn '{gs: 1, type: "error", error: "data.text must be a text", error_type: "BadInput", retryable: false}')"
  exit 0
fi
say '{"gs":1,"type":"progress","progress":50}'
say "$(jq -cn --arg text "$text" '
  [$text | ascii_downcase | scan("\\w+")] as $words
  | {gs: 1, type: "result", result: {words: ($words | length), most: ($words | group_by(.) | map({(.[0]): length}) | add)}}')"
