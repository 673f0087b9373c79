#!/bin/sh
# Counts the words of a text file: data is {"file": …}. Nothing but a shell; a path with quotes or backslashes is refused.
file=$(sed -n 's/.*"data":{"file":"\([^"\\]*\)"}.*/\1/p')
if [ ! -r "$file" ]; then
  echo "cannot read the file that data.file names: $file" >&2
  exit 65 # never: another attempt would find the same
fi
say() { printf '%s\n' "$1" >>"${GRIDSIDECAR_EVENTS:-/dev/stdout}"; }
say '{"gs":1,"type":"progress","progress":50,"progress_message":"counting"}'
words=$(wc -w <"$file") || exit 75 # later
say '{"gs":1,"type":"result","result":{"words":'"$((words))"'}}'
