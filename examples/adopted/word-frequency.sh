#!/bin/sh
# As it was before any queue: JSON {"text": …} on stdin, the five commonest words as JSON on stdout.
jq -r .text | tr -cs '[:alnum:]' '\n' | sort | uniq -c | sort -k1,1nr -k2 | head -n 5 |
  jq -nR '[inputs | capture("(?<n>[0-9]+) (?<word>.+)") | {(.word): (.n | tonumber)}] | add'
