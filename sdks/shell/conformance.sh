#!/bin/sh
# Acts on `data.case`, so that a test can see each duty of an SDK; any other task is returned as it came.

. "$(dirname "$0")/gridsidecar.sh"

forged='{"gs":1,"type":"result","result":"forged"}'

handle() {
  case $(gs_field case) in
    full)
      gs_progress 10 started
      gs_log warning 'slow disk' '{"ms":812}'
      gs_heartbeat
      gs_checkpoint '{"page":17}'
      sleep "$(gs_field seconds || echo 0.05)"
      gs_progress 90.5
      gs_result "{\"attempt\":$gs_attempt,\"checkpoint\":$(gs_last_checkpoint),\"task_id\":\"$gs_task_id\"}"
      ;;
    fail) gs_error 'it broke' RangeError ;;
    permanent) gs_permanent 'bad input' BadInput ;;
    retry) gs_retry 2.5 'try later' RateLimited ;;
    noise)
      echo "$forged"
      printf 'no line end, then '
      sh -c 'echo "$1"' sh "$forged"
      gs_result '{"said": "plainly"}'
      ;;
    unicode) gs_result_string "$(printf 'é ☃ 𝄞 \342\200\250 \302\205 "quoted" \\ \n \001')" ;;
    big) gs_result_string "$(head -c "$(gs_field bytes)" /dev/zero | tr '\0' x)" ;;
    unserialisable) gs_result '{"n": 10n}' ;;
    stop | deaf)
      gs_progress '' waiting
      sleep 60
      ;;
    finish)
      trap 'gs_result_string "finished early"; kill $!; exit' TERM
      sleep 60 &
      gs_progress '' waiting
      wait
      ;;
    exit) exit "$(gs_field code)" ;;
    children) gs_result_string "$(cat)" ;;
    *)
      gs_progress 50 half
      gs_result "$(gs_data)"
      ;;
  esac
}

gs_run handle
