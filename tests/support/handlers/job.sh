#!/bin/bash
# One attempt that a test can follow and steer: job.sh WORD [ARGUMENT]. What it does, and when, goes to $JOURNAL, one
# write a line. Nothing is flushed to disk: in these tests processes die, machines do not.
note() { echo "$1 $GRIDSIDECAR_TASK_ID $GRIDSIDECAR_ATTEMPT $$ $EPOCHREALTIME" >>"$JOURNAL"; }

# Told to end it does, and says so: by that we know when this run was over.
trap 'note killed; trap - TERM; kill -TERM $$' TERM

# An earlier run of this task that is gone was killed before this one begins. A test that notes it may come too late.
note_dead() {
  local pid state
  while read -r _ _ _ pid _; do
    read -r _ _ state _ 2>/dev/null <"/proc/$pid/stat" || state=X
    case $state in [XZ]) echo "killed - 0 $pid $EPOCHREALTIME" >>"$JOURNAL" ;; esac
  done < <(grep -F "start $GRIDSIDECAR_TASK_ID " "$JOURNAL")
}
[ "$GRIDSIDECAR_ATTEMPT" -le 1 ] || note_dead
note start
case $1 in
  done) ;;
  until) # a file appears: the one named, or that with the task's id behind it
    until [ -e "$2" ] || [ -e "$2.$GRIDSIDECAR_TASK_ID" ]; do sleep 0.02; done
    ;;
  stubborn) # the same, deaf to SIGTERM
    trap 'note deaf' TERM
    until [ -e "$2" ]; do sleep 0.02; done
    ;;
  for) sleep "$2" ;;
  flaky) # fails before attempt ARGUMENT
    if [ "$GRIDSIDECAR_ATTEMPT" -lt "$2" ]; then
      note end
      echo "not yet" >&2
      exit 1
    fi
    ;;
  exit)
    note end
    exit "$2"
    ;;
  deadly) # takes its sidecar along
    note killed
    kill -9 "$PPID" $$
    ;;
  say) echo "$2" ;;
  *)
    echo "job.sh: no such word: $1" >&2
    exit 65
    ;;
esac
note end
