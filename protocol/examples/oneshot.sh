#!/bin/sh
# One process for each task: read it, say how far you are, say the result, exit.
task=$(cat)
say() { printf '%s\n' "$1" >>"${GRIDSIDECAR_EVENTS:-/dev/stdout}"; }
say '{"gs":1,"type":"progress","progress":50,"progress_message":"half way"}'
say '{"gs":1,"type":"result","result":{"characters":'"${#task}"'}}'
