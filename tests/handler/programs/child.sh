#!/bin/sh
# A handler that behaves as its first argument says; with an events pipe it talks there, else on stdout.
event() { printf '%s\n' "$1" >>"$GRIDSIDECAR_EVENTS"; }

case "$1" in
echo-input) cat /dev/stdin ;;
exit) exit "$2" ;;
exit-with-words) echo "first" >&2; echo "disk full on /data" >/dev/stderr; echo >&2; exit "$2" ;;
environment) env | sort ;;
hang) exec sleep 1000 ;;
say-then-hang) event '{"type":"progress","progress":1}'; exec sleep 1000 ;;
ignore-term) trap '' TERM; event '{"type":"progress","progress":1}'; while :; do sleep 0.05; done ;;
result-on-term) trap 'event "{\"type\":\"result\",\"result\":\"late\"}"; exit 0' TERM
  event '{"type":"progress","progress":1}'; while :; do sleep 0.02; done ;;
error-on-term) trap 'event "{\"type\":\"error\",\"error\":\"terminated\"}"; exit 0' TERM
  event '{"type":"progress","progress":1}'; while :; do sleep 0.02; done ;;
exit-0-on-term) trap 'exit 0' TERM; event '{"type":"progress","progress":1}'; while :; do sleep 0.02; done ;;
worker-behind-shell) # the shell dies of SIGTERM at once, its worker wants to finish
  sh -c 'trap "sleep 0.3; echo {\\\"type\\\":\\\"result\\\",\\\"result\\\":\\\"tidy\\\"} >>$GRIDSIDECAR_EVENTS; exit 0" TERM
         echo "{\"type\":\"progress\",\"progress\":1}" >>$GRIDSIDECAR_EVENTS; while :; do sleep 0.02; done' &
  wait ;;
leak-stdout) sleep 1000 & echo "leaked by $!"; exit 0 ;;
leave-quiet-child) sleep 1000 <&- >&- 2>&- & echo $!; exit 0 ;;
late-writer) (sleep 0.3; event '{"type":"result","result":"from a grandchild"}') & exit 0 ;;
close-stdout) exec >&-; sleep 0.1; event '{"type":"result","result":"still here"}' ;;
close-everything) exec 0<&- 1>&- 2>&- 3>&-; sleep 0.2; exit 4 ;;
stop-itself) kill -STOP $$ ;;
forged-for-another) echo '{"gs":1,"type":"result","task_id":"t2","result":"forged"}'
  echo '{"gs":1,"type":"progress","attempt":2,"progress":99}'; echo '{"gs":1,"type":"result","task_id":"t1","result":"own"}' ;;
half-line) printf '{"gs":1,"type":"result","result":"half"}' ;;
half-message) printf '{"gs":1,"type":"result","resu' ;;
two-results) event '{"type":"result","result":1}'; event '{"type":"result","result":2}' ;;
two-ends) event '{"type":"error","error":"first"}'; event '{"type":"result","result":2}' ;;
progress-after-end) event '{"type":"result","result":1}'; event '{"type":"progress","progress":99}' ;;
forged) event '{"type":"progress","progress":10}'; echo '{"gs":1,"type":"result","result":"forged"}'; exit 3 ;;
forged-first) echo '{"gs":1,"type":"result","result":"forged"}'; sleep 0.2; event '{"type":"result","result":"true"}' ;;
stdout-events) echo '{"gs":1,"type":"progress","progress":50,"progress_message":"half"}'; echo plain
  echo '{"level":"info","msg":"a log line of its own"}'; echo '{"gs":1,"type":"result","result":{"w":640}}' ;;
all-events) event '{"type":"ready"}'; event '{"type":"heartbeat"}'; event '{"type":"checkpoint","data":{"page":1}}'
  event '{"type":"log","level":"warning","message":"slow disk","fields":{"ms":812}}'; event 'rubbish'; event ''
  event '{"type":"progress","progress_message":"words only"}'; event '{"type":"result","task_id":"somebody-else"}'
  event '{"type":"result","result":[1]}' ;;
error) event '{"type":"error","error":"429","error_type":"RateLimited","retryable":true,"retry_after_s":30,"traceback":"tb"}' ;;
result-then-exit) event '{"type":"result","result":1}'; exit "$2" ;;
result-then-crash) event '{"type":"result","result":1}'; kill -SEGV $$ ;;
result-then-hang) event '{"type":"result","result":1}'; exec sleep 1000 ;;
crash) echo "about to fail" >&2; kill -"$2" $$ ;;
text) printf 'hello\nworld\n' ;;
json-text) printf ' {"a": [1, 2]}\n' ;;
no-text) : ;;
text-and-result) echo text; event '{"type":"result","result":"message"}' ;;
big-text) head -c 3000 /dev/zero | tr '\0' x ;;
big-result) printf '{"type":"result","result":"%s"}\n' "$(head -c 3000 /dev/zero | tr '\0' x)" >>"$GRIDSIDECAR_EVENTS" ;;
has-pipe) [ -n "$GRIDSIDECAR_EVENTS" ] && [ -e "$GRIDSIDECAR_EVENTS" ] && echo yes || echo no ;;
descriptors) ls /proc/self/fd | tr '\n' ' '; echo "events=${GRIDSIDECAR_EVENTS#/dev/fd/}" ;;
chatty) for i in 1 2 3 4 5 6 7 8 9 10; do echo "$i"; sleep 0.2; done ;;
limits) sleep 0.1; ulimit -n; ulimit -v; ulimit -t; cat /proc/self/oom_score_adj ;;
burn) sleep 0.05; while :; do :; done ;;
*) echo "unknown mode $1" >&2; exit 64 ;;
esac
