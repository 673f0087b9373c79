# shellcheck shell=sh
# Task handlers for gridsidecar in POSIX shell: source this file, version 0.2.0.
#
# Needs only printf, cat and awk. The README tells what the functions do; names that begin with _gs_ are private.

# JSON in awk, byte by byte (LC_ALL=C). The first argument says what to do with stdin:
#   string         print it as a JSON string; what is no UTF-8 becomes U+FFFD
#   json           print it on one line; exit 1 when it is no JSON
#   get NAME...    print what stands under these names, a string as its text; exit 1 when there is nothing
#   raw NAME...    the same as JSON
#   task           print assignments for the shell; exit 1 when it is no task message
_gs_awk='
BEGIN {
  ORS = ""; op = ARGV[1]; n = ARGC; ARGC = 1
  for (i = 1; i < 256; i++) ord[sprintf("%c", i)] = i
  if (op == "string") { write_string(); exit }
  RS = "\001" # in no JSON text: everything is one record
  if ((getline json) <= 0) json = ""
  if ((getline rest) > 0) exit 1
  sub(/\n$/, "", json)
  if (op == "json") { if (!valid(json)) exit 1; gsub(/[\n\r\t]/, " ", json); print json; exit }
  if (op == "task") exit task()
  for (i = 2; i < n; i++) if ((json = get(json, ARGV[i])) == "") exit 1
  if (op == "get" && json ~ /^"/) { text(json); for (i = 1; i <= pieces; i++) print piece[i] }
  else print json
  exit
}

# -- writing strings --

function write_string(    line, more) {
  print "\""
  while ((getline line) > 0) { if (more++) print "\\n"; escape(line) }
  print "\""
}

function escape(line,    i, from, c, size) {
  if (line !~ /[^ -~]|["\\]/) { print line; return }
  for (i = from = 1; i <= length(line); i++) {
    c = substr(line, i, 1)
    if (c >= " " && c <= "~" && c != "\"" && c != "\\") continue
    print substr(line, from, i - from)
    size = ord[c] < 128 ? 0 : utf8(line, i)
    if (size) { print substr(line, i, size); i += size - 1 }
    else if (c == "\"" || c == "\\") print "\\" c
    else printf "\\u%04x", ord[c] < 128 ? ord[c] : 65533
    from = i + 1
  }
  print substr(line, from)
}

# How many bytes the character at i has; 0 when they are none.
function utf8(s, i,    b, size, low, high, k) {
  b = ord[substr(s, i, 1)]; low = 128; high = 191
  size = b < 194 || b > 244 ? 0 : b < 224 ? 2 : b < 240 ? 3 : 4
  if (b == 224) low = 160; if (b == 237) high = 159; if (b == 240) low = 144; if (b == 244) high = 143
  for (k = 1; k < size; k++) {
    b = ord[substr(s, i + k, 1)]
    if (b < low || b > high) return 0
    low = 128; high = 191
  }
  return size
}

# -- checking JSON --

function valid(json,    n, part, i, inside) {
  depth = 0; want = "value"; opened = 0
  n = split(json, part, "\"")
  for (i = 1; i <= n; i++) {
    if (!inside) { if (!structure(part[i])) return 0; inside = 1; continue }
    if (i == n) return 0
    inside = open_escape(part[i])
    if (!valid_string(inside ? substr(part[i], 1, length(part[i]) - 1) : part[i])) return 0
    if (!inside && !token("string")) return 0
  }
  return depth == 0 && want == "end"
}

function structure(chunk,    i, c, size, word) {
  size = length(chunk)
  for (i = 1; i <= size; i++) {
    c = substr(chunk, i, 1)
    if (index("[]{},:", c)) {
      if (word != "" && !scalar(word) || !token(c)) return 0
      word = ""
    } else if (index(" \t\r\n", c)) {
      if (word != "" && !scalar(word)) return 0
      word = ""
    } else word = word c
  }
  return word == "" || scalar(word)
}

function scalar(word) {
  return token("scalar") && word ~ /^(true|false|null|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?)$/
}

function token(t,    ok, key) {
  key = want == "key"
  if (t == "{" || t == "[") ok = want == "value" && depth < 99
  else if (t == "}" || t == "]") ok = depth && level[depth] == (t == "}" ? "{" : "[") && (want == "end" || opened)
  else if (t == ",") ok = depth && want == "end"
  else if (t == ":") ok = want == "colon"
  else ok = want == "value" || (key && t == "string")
  opened = t == "{" || t == "["
  if (opened) level[++depth] = t
  if (t == "}" || t == "]") depth--
  if (t == ":") want = "value"
  else if (t == "," || opened) want = level[depth] == "{" ? "key" : "value"
  else want = key && t == "string" ? "colon" : "end"
  return ok
}

# What stands between the quotes: whole escapes, whole characters, no control characters.
function valid_string(s,    i, size) {
  if (s ~ /[^ -~]/) for (i = 1; i <= length(s); i += size) {
    size = ord[substr(s, i, 1)] < 128 ? substr(s, i, 1) >= " " : utf8(s, i)
    if (!size) return 0
  }
  if (s !~ /\\/) return 1
  gsub(/\\\\/, "", s)
  gsub(/\\u[dD][89abAB][0-9a-fA-F][0-9a-fA-F]\\u[dD][c-fC-F][0-9a-fA-F][0-9a-fA-F]/, "", s)
  if (s ~ /\\u[dD][89a-fA-F]/) return 0
  gsub(/\\(["\/bfnrt]|u[0-9a-fA-F][0-9a-fA-F][0-9a-fA-F][0-9a-fA-F])/, "", s)
  return s !~ /\\/
}

function open_escape(s) { return match(s, /\\+$/) && RLENGTH % 2 }

# -- reading JSON --

# The JSON text under a name of an object; empty when there is none.
function get(json, name,    n, part, i, j, c, s, size, inside, naming, depth, at, from) {
  n = split(json, part, "\"")
  for (i = at = 1; i <= n; at += length(part[i++]) + 1) {
    if (inside) {
      inside = open_escape(part[i])
      if (naming) s = s part[i] (inside ? "\"" : "")
      continue
    }
    size = depth > 1 && part[i] !~ /[][{}]/ ? 0 : length(part[i])
    for (j = 1; j <= size; j++) {
      c = substr(part[i], j, 1)
      if (c == "{" || c == "[") { if (!depth && c == "[") return ""; depth++ }
      else if (from && depth == 1 && (c == "," || c == "}")) return trimmed(substr(json, from, at + j - 1 - from))
      else if (c == "}" || c == "]") depth--
      else if (c == ":" && depth == 1) { if (joined("\"" s "\"") == name) from = at + j; naming = 0 }
      if (depth == 1 && (c == "{" || c == ",")) { naming = 1; s = "" }
    }
    inside = 1
  }
  return ""
}

function trimmed(s) { sub(/^[ \t]+/, "", s); sub(/[ \t]+$/, "", s); return s }

# A JSON string as its text, in piece[1..pieces]: joining them is slow where there are many.
function text(quoted_text,    n, part, i, code, low) {
  n = split(substr(quoted_text, 2, length(quoted_text) - 2), part, /\\/)
  pieces = 0; piece[++pieces] = part[1]
  for (i = 2; i <= n; i++) {
    c = substr(part[i], 1, 1)
    if (part[i] == "") { piece[++pieces] = "\\" part[++i]; continue }
    if (c != "u") { piece[++pieces] = plain(c) substr(part[i], 2); continue }
    code = hex(substr(part[i], 2, 4))
    if (code >= 55296 && code < 56320 && length(part[i]) == 5) {
      low = hex(substr(part[i + 1], 2, 4))
      code = 65536 + (code - 55296) * 1024 + low - 56320; i++
    }
    piece[++pieces] = character(code) substr(part[i], 6)
  }
}

function joined(quoted_text,    i, whole) {
  text(quoted_text)
  for (i = 1; i <= pieces; i++) whole = whole piece[i]
  return whole
}

function plain(c,    i) { return (i = index("bfnrt", c)) ? substr("\b\f\n\r\t", i, 1) : c }

function hex(digits,    i, value) {
  for (i = 1; i <= length(digits); i++) value = value * 16 + index("123456789abcdef", tolower(substr(digits, i, 1)))
  return value
}

function character(code) {
  if (code < 128) return sprintf("%c", code)
  if (code < 2048) return byte(192, code, 64) byte(128, code, 1)
  if (code < 65536) return byte(224, code, 4096) byte(128, code, 64) byte(128, code, 1)
  return byte(240, code, 262144) byte(128, code, 4096) byte(128, code, 64) byte(128, code, 1)
}

function byte(mark, code, unit) { return sprintf("%c", mark + int(code / unit) % 64) }

# -- the task message --

function task(    id, run) {
  if (joined(get(json, "type")) != "task") return 1
  run = get(json, "run"); id = get(json, "task_id")
  print "gs_task_id=" quoted(joined(id)) " gs_task_type=" quoted(joined(get(json, "task_type")))
  print " gs_attempt=" quoted(or_one(get(run, "attempt"))) " gs_max_retry_count=" quoted(get(json, "max_retry_count"))
  print " _gs_id=" quoted(",\"task_id\":" id)
  return 0
}

function or_one(number) { return number == "" ? 1 : number }

function quoted(s,    n, part, i, q, whole) {
  q = sprintf("%c", 39); n = split(s, part, q); whole = part[1]
  for (i = 2; i <= n; i++) whole = whole q "\\" q q part[i]
  return q whole q
}
'

_gs_id=
_gs_said=

# Without the pipe, events are marked lines on stdout, and what else is printed goes to stderr.
if [ -z "${GRIDSIDECAR_EVENTS-}" ] || ! { true >>"$GRIDSIDECAR_EVENTS"; } 2>/dev/null; then
  GRIDSIDECAR_EVENTS=
  exec 9>&1 1>&2
fi

# -- the task -------------------------------------------------------------------------------------------------------

# Read the task on stdin: sets gs_task_id, gs_task_type, gs_attempt, gs_max_retry_count, and gs_task, the whole message.
gs_read() {
  gs_task=$(cat)
  _gs_parse && return
  gs_permanent "stdin holds no task message; the SDK needs input: task in the handler's configuration" ProtocolError
  exit 65
}

# Print the task's data as JSON.
gs_data() { _gs_ask raw data; }

# Print a field of the data, as text where it is a string, else as JSON; names of nested objects follow each other.
# 1 when there is no such field.
gs_field() { _gs_ask get data "$@"; }

# Print what an earlier attempt saved, as JSON; null when it saved nothing.
gs_last_checkpoint() { _gs_ask raw run checkpoint || printf null; }

# Take one task, or one after the other as the sidecar says, and run this command for each; ends the script.
gs_run() {
  if [ "${GRIDSIDECAR_MODE-}" = persistent ]; then
    _gs_serve "$@"
    exit 0
  fi
  gs_read
  "$@"
  exit
}

# -- events ---------------------------------------------------------------------------------------------------------

# PERCENT [MESSAGE]; either may be empty. Never fails.
gs_progress() {
  _gs_fields=
  [ -z "${1-}" ] || if _gs_percent "$1"; then
    _gs_fields=",\"progress\":$_gs_out"
  else
    printf 'gs_progress: not a percentage: %s\n' "$1" >&2
  fi
  if [ -n "${2-}" ]; then
    _gs_string "$2"
    _gs_fields="$_gs_fields,\"progress_message\":$_gs_out"
  fi
  [ -z "$_gs_fields" ] || _gs_send progress "$_gs_fields"
}

# LEVEL MESSAGE [FIELDS]; fields are a JSON object.
gs_log() {
  _gs_string "$1"
  _gs_fields=",\"level\":$_gs_out"
  _gs_string "${2-}"
  _gs_fields="$_gs_fields,\"message\":$_gs_out"
  if [ -n "${3-}" ]; then
    _gs_json "$3" || { _gs_string "$3" && _gs_out="{\"fields\":$_gs_out}"; }
    _gs_fields="$_gs_fields,\"fields\":$_gs_out"
  fi
  _gs_send log "$_gs_fields"
}

gs_heartbeat() { _gs_send heartbeat ''; }

# JSON of up to 64 KiB: where a next attempt can go on. 2 when it is none.
gs_checkpoint() {
  if _gs_json "${1-}" && [ ${#_gs_out} -le 65536 ]; then
    _gs_send checkpoint ",\"data\":$_gs_out"
  else
    printf 'gs_checkpoint: not JSON, or more than 64 KiB: %.200s\n' "${1-}" >&2
    return 2
  fi
}

# JSON. What is none is an error of the task, and its last word.
gs_result() {
  if _gs_json "${1-}"; then
    _gs_send result ",\"result\":$_gs_out"
  else
    gs_permanent "the result is not JSON: $(printf %.200s "${1-}")" InvalidResult
  fi
}

# TEXT, as a JSON string.
gs_result_string() {
  _gs_string "${1-}"
  _gs_send result ",\"result\":$_gs_out"
}

# MESSAGE [TYPE]; the retry policy decides what follows.
gs_error() { _gs_fail "${1-}" "${2-}" ''; }

# MESSAGE [TYPE]; no further attempt.
gs_permanent() { _gs_fail "${1-}" "${2-}" ',"retryable":false'; }

# SECONDS MESSAGE [TYPE]; another attempt, not before so many seconds, or when the policy says where they are empty.
gs_retry() {
  if [ -z "${1-}" ]; then
    _gs_fail "${2-}" "${3-}" ',"retryable":true'
  elif _gs_decimal "$1"; then
    _gs_fail "${2-}" "${3-}" ",\"retryable\":true,\"retry_after_s\":$_gs_out"
  else
    _gs_fail "${2-} (not a number of seconds: $1)" "${3-}" ',"retryable":true'
  fi
}

# -- private: these leave their answer in _gs_out -------------------------------------------------------------------

_gs_ask() { printf '%s\n' "${gs_task-}" | LC_ALL=C awk "$_gs_awk" "$@"; }

_gs_parse() { _gs_out=$(_gs_ask task) && eval "$_gs_out"; }

# Most texts need no escape and no process; spelt out, for ranges depend on the locale.
_gs_string() {
  case $1 in
    *[!abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789\ .,:\;/_=+@%-]*)
      _gs_out=$(printf '%s\n' "$1" | LC_ALL=C awk "$_gs_awk" string)
      ;;
    *) _gs_out="\"$1\"" ;;
  esac
}

_gs_json() { _gs_out=$(printf '%s\n' "$1" | LC_ALL=C awk "$_gs_awk" json); }

_gs_percent() {
  _gs_decimal "${1%\%}" || return 1
  case $_gs_out in
    ? | ?? | ?.* | ??.*) ;;
    *) _gs_out=100 ;;
  esac
}

# A number of at least 0 as JSON has it: without zeros in front, with one behind the point.
_gs_decimal() {
  case $1 in
    '' | . | *[!0-9.]* | *.*.*) return 1 ;;
    *.*) _gs_rest=.${1#*.}0 ;;
    *) _gs_rest= ;;
  esac
  _gs_out=${1%%.*}
  _gs_out=${_gs_out#"${_gs_out%%[!0]*}"}
  _gs_out=${_gs_out:-0}$_gs_rest
}

_gs_fail() {
  _gs_string "$(printf %.4000s "$1")"
  _gs_fields=",\"error\":$_gs_out$3"
  _gs_string "${2:-Error}"
  _gs_send error "$_gs_fields,\"error_type\":$_gs_out"
}

# TYPE FIELDS: one line. Up to 4096 bytes stay whole whoever else writes; longer ones only from one process at a time.
_gs_send() {
  if [ ${#2} -gt 4194000 ]; then
    _gs_fail "the $1 has ${#2} characters, more than the 4 MiB of a message: store it elsewhere and send a reference" \
      TooLarge ',"retryable":false'
    return
  fi
  if [ -n "$GRIDSIDECAR_EVENTS" ]; then
    printf '{"gs":1,"type":"%s"%s%s}\n' "$1" "$_gs_id" "$2" >>"$GRIDSIDECAR_EVENTS"
  else
    printf '{"gs":1,"type":"%s"%s%s}\n' "$1" "$_gs_id" "$2" >&9
  fi
  case $1 in result | error) [ -z "$_gs_said" ] || printf x >"$_gs_said" ;; esac
}

# Each task has a subshell of its own: what it sets, and where it exits, stays there. A file without a name tells whether
# it said a last word (a trap on EXIT would keep bash from ending at once when it is told to).
_gs_serve() {
  _gs_said=$(mktemp) && exec 8<>"$_gs_said" && rm -f "$_gs_said" || exit
  _gs_said=/dev/fd/8
  case $- in *e*) _gs_errexit='set -e' ;; *) _gs_errexit= ;; esac
  set +e
  _gs_send ready ',"sdk":"shell/0.2.0","capabilities":[]'
  while IFS= read -r gs_task || [ -n "$gs_task" ]; do
    _gs_parse || continue
    true >"$_gs_said"
    (
      eval "$_gs_errexit"
      "$@"
    ) </dev/null
    _gs_conclude $?
  done
}

# The last word of a task that said none: as its exit status has it.
_gs_conclude() {
  [ ! -s "$_gs_said" ] || return 0
  case $1 in
    0) _gs_send result '' ;;
    65) gs_permanent "exit status 65" HandlerExit ;;
    75) gs_retry '' "exit status 75" HandlerExit ;;
    *) gs_error "exit status $1" HandlerExit ;;
  esac
}
