#!/bin/sh
# Tests of gridsidecar.sh: run it with each shell, as `dash test/test.sh`, `bash test/test.sh` and `busybox sh test/test.sh`.
# Each handler runs in a shell of its own under `set -eu`; its events and its exit code are compared.

cd "$(dirname "$0")" || exit
shell=$(readlink /proc/$$/exe)
case $shell in */busybox) shell="$shell sh" ;; esac # a program of many names
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
count=0 failures=0

task='{"gs":1,"type":"task","task_id":"t1","task_type":"resize","data":{"a":"x\ny","b":{"c":[1,{"}":"{"}]},"\u00e9":"\ud834\udd1e"},"max_retry_count":3,"run":{"attempt":2,"checkpoint":{"page":5}}}'

# SCRIPT [INPUT]: runs it as a handler; leaves $events, $out, $err and $code.
handle() {
  rm -f "$folder/events"
  printf '%s\n' "${2-$task}" |
    env -i PATH="$PATH" GRIDSIDECAR_EVENTS="$folder/events" GRIDSIDECAR_MODE="${mode-oneshot}" \
      $shell -c "set -eu; . ../gridsidecar.sh; $1" >"$folder/out" 2>"$folder/err"
  code=$?
  events=$(cat "$folder/events" 2>/dev/null) out=$(cat "$folder/out") err=$(cat "$folder/err")
}

# WHAT GOT WANTED
same() {
  count=$((count + 1))
  [ "$2" = "$3" ] && return
  failures=$((failures + 1))
  printf 'FAILED: %s\n     got: %s\n  wanted: %s\n' "$1" "$2" "$3"
  [ -z "$err" ] || printf '  stderr: %s\n' "$err"
}

# One event of a task that was not read has no id.
sends() {
  handle "$1"
  same "$1" "$code $events" "0 {\"gs\":1,\"type\":$2}"
}

# -- reading --

handle 'gs_read; echo "$gs_task_id $gs_task_type $gs_attempt $gs_max_retry_count"'
same 'fields of the task' "$out" 't1 resize 2 3'
handle 'gs_read; gs_field a; echo; gs_field b c; echo; gs_field é; echo; gs_field none || echo nothing; gs_last_checkpoint'
same 'fields of the data' "$out" 'x
y
[1,{"}":"{"}]
𝄞
nothing
{"page":5}'
handle 'gs_read; gs_data' '{"type":"task","task_id":"it'\''s $(id)","run":{"checkpoint":null},"data":"\\d"}'
same 'data' "$out" '"\\d"'
handle 'gs_read; echo "$gs_task_id"' '{"type":"task","task_id":"it'\''s $(id) `id` \\ \u0027","data":1}'
same 'an id is no code' "$out" "it's \$(id) \`id\` \\ '"
for input in '' '{}' '[1]' 'no JSON' '{"type":"cancel"}'; do
  handle 'gs_read; gs_result 1' "$input"
  case $code$events in 65*'"error_type":"ProtocolError"'*) code=ok ;; esac
  same "no task: $input" "$code" ok
done

# -- writing --

sends 'gs_progress 50' '"progress","progress":50'
sends 'gs_progress 07.5% "2 of 5"' '"progress","progress":7.50,"progress_message":"2 of 5"'
sends 'gs_progress 250' '"progress","progress":100'
sends 'gs_progress "" words' '"progress","progress_message":"words"'
sends 'gs_progress 5e1 words' '"progress","progress_message":"words"'
sends 'gs_heartbeat' '"heartbeat"'
sends 'gs_checkpoint "$(printf "{\"a\":\n[1]}")"' '"checkpoint","data":{"a": [1]}'
sends 'gs_log info "slow disk"' '"log","level":"info","message":"slow disk"'
sends 'gs_log info x "{\"ms\":1}"' '"log","level":"info","message":"x","fields":{"ms":1}'
sends 'gs_log info x "{ms}"' '"log","level":"info","message":"x","fields":{"fields":"{ms}"}'
sends 'gs_result "{\"a\":[1,2.5e3,null]}"' '"result","result":{"a":[1,2.5e3,null]}'
sends 'gs_result "{n:1}"' '"error","error":"the result is not JSON: {n:1}","retryable":false,"error_type":"InvalidResult"'
sends 'gs_result_string ""' '"result","result":""'
sends 'gs_error "it broke" E' '"error","error":"it broke","error_type":"E"'
sends 'gs_permanent "bad"' '"error","error":"bad","retryable":false,"error_type":"Error"'
sends 'gs_retry 030 "429"' '"error","error":"429","retryable":true,"retry_after_s":30,"error_type":"Error"'
sends 'gs_retry "" "429"' '"error","error":"429","retryable":true,"error_type":"Error"'
sends 'gs_retry soon "429"' '"error","error":"429 (not a number of seconds: soon)","retryable":true,"error_type":"Error"'
sends 'gs_result_string "$(printf "a\"b\\\\c\td\001\n\n e\177")"' '"result","result":"a\"b\\c\u0009d\u0001\n\n e\u007f"'
sends 'gs_result_string "$(printf "\303\251 \303 \251 \355\240\200 \360\235\204\236")"' \
  '"result","result":"é \ufffd \ufffd \ufffd\ufffd\ufffd 𝄞"'
sends 'gs_result_string "%s \\n -n \$(id) \`id\`"' '"result","result":"%s \\n -n $(id) `id`"'
sends 'gs_result_string "
"' '"result","result":"\n"'
handle 'gs_read; gs_progress 1'
same 'the id, once it is known' "$events" '{"gs":1,"type":"progress","task_id":"t1","progress":1}'
handle 'gs_checkpoint "[1,]" || exit 7'
same 'a checkpoint that is no JSON' "$code $events" '7 '

handle 'gs_checkpoint "\"$(head -c 70000 /dev/zero | tr "\0" x)\"" || exit 7'
same 'too long a checkpoint' "$code $events" '7 '

# -- lengths --

handle 'gs_result_string "$(head -c 3000000 /dev/zero | tr "\0" x)"'
same 'a long text' "${#events}" 3000036
handle 'gs_result_string "$(head -c 5000000 /dev/zero | tr "\0" x)"'
case $events in *'more than the 4 MiB'*) code=ok ;; esac
same 'too long a text' "$code" ok

# -- the end --

handle 'f() { gs_progress 1; exit 3; }; gs_run f'
same 'an exit code' "$code" 3
handle 'f() { false; gs_result 1; }; gs_run f'
same 'set -e' "$code $events" '1 '
handle 'unset GRIDSIDECAR_EVENTS; . ../gridsidecar.sh; echo plain; gs_result 1'
same 'without a pipe' "$out-$err" '{"gs":1,"type":"result","result":1}-plain'

mode=persistent
ready='{"gs":1,"type":"ready","sdk":"shell/0.2.0","capabilities":[]}'
handle 'f() {
  cat
  case $gs_task_id in
    1) gs_result 1 ;;
    2) exit 3 ;;
    3) false; gs_result 3 ;;
    4) gs_error no; exit 5 ;;
    5) kill -9 "$(exec sh -c "echo \$PPID")" ;;
    6) cd /; exit 75 ;;
    7) no_such_command_here || return 65 ;;
  esac
}
gs_run f' "$(for id in 1 2 3 4 5 6 7 8; do printf '{"type":"task","task_id":"%s"}\n\n{"type":"later"}\n' $id; done)"
same persistent "$code $events" "0 $ready
{\"gs\":1,\"type\":\"result\",\"task_id\":\"1\",\"result\":1}
{\"gs\":1,\"type\":\"error\",\"task_id\":\"2\",\"error\":\"exit status 3\",\"error_type\":\"HandlerExit\"}
{\"gs\":1,\"type\":\"error\",\"task_id\":\"3\",\"error\":\"exit status 1\",\"error_type\":\"HandlerExit\"}
{\"gs\":1,\"type\":\"error\",\"task_id\":\"4\",\"error\":\"no\",\"error_type\":\"Error\"}
{\"gs\":1,\"type\":\"error\",\"task_id\":\"5\",\"error\":\"exit status 137\",\"error_type\":\"HandlerExit\"}
{\"gs\":1,\"type\":\"error\",\"task_id\":\"6\",\"error\":\"exit status 75\",\"retryable\":true,\"error_type\":\"HandlerExit\"}
{\"gs\":1,\"type\":\"error\",\"task_id\":\"7\",\"error\":\"exit status 65\",\"retryable\":false,\"error_type\":\"HandlerExit\"}
{\"gs\":1,\"type\":\"result\",\"task_id\":\"8\"}"

printf '%s: %s of %s passed\n' "$shell" $((count - failures)) $count
[ "$failures" = 0 ]
