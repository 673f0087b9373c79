package gridsidecar

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain makes this program a handler where a test starts it as one.
func TestMain(m *testing.M) {
	name := os.Getenv("HANDLER")
	if handler, known := handlers[name]; known {
		Run(handler)
	}
	if name == "types" {
		Handlers{"resize": constant("resized"), "crop": constant("cropped")}.Run()
	}
	os.Exit(m.Run())
}

func constant(result any) Handler {
	return func(context.Context, *Task) (any, error) { return result, nil }
}

func failing(err error) Handler {
	return func(context.Context, *Task) (any, error) { return nil, err }
}

type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

var handlers = map[string]Handler{
	"value":   constant(map[string]any{"a": []any{1, "é <&>"}}),
	"nothing": constant(nil),
	"half":    constant("half \xff, whole 𝄞"),
	"nan":     constant([]float64{1, math.NaN()}),
	"channel": constant(make(chan int)),
	"long":    constant(strings.Repeat("x", 5_000_000)),
	"deep":    constant(json.RawMessage(strings.Repeat("[", 100) + strings.Repeat("]", 100))),
	"quoted":  constant(strings.Repeat("[{\"", 99)),
	"large": func(_ context.Context, task *Task) (any, error) {
		return nil, task.Checkpoint(strings.Repeat("x", 65536))
	},
	"plain":   failing(errors.New("it broke")),
	"path":    failing(&fs.PathError{Op: "open", Path: "/x", Err: fs.ErrNotExist}),
	"nil":     failing((*nilError)(nil)),
	"endless": failing(errors.New(strings.Repeat("x", 5_000_000))),
	"late":    failing(fmt.Errorf("fetching: %w", context.DeadlineExceeded)),
	"retry":   failing(Retry(errors.New("429"), 1500*time.Millisecond)),
	"again":   failing(fmt.Errorf("wrapped: %w", Retry(nil, 0))),
	"bad":     failing(Permanent(errors.New("bad"))),
	"panic":   func(context.Context, *Task) (any, error) { panic(errors.New("boom")) },
	"goexit":  func(context.Context, *Task) (any, error) { runtime.Goexit(); return nil, nil },
	"decode": func(_ context.Context, task *Task) (any, error) {
		var data struct{ N int }
		err := task.Decode(&data)
		return data.N * 2, err
	},
	"context": func(ctx context.Context, task *Task) (any, error) {
		deadline, _ := ctx.Deadline()
		return []any{deadline.UnixMilli(), task.Deadline.UnixMilli(), task.Attempt, task.IdempotencyKey, task.Redelivered}, nil
	},
	"events": func(_ context.Context, task *Task) (any, error) {
		task.Progress(40, "2 of 5")
		task.Progress(100.1, "")
		task.Progress(math.NaN(), "?")
		task.Log("info", "a\nb", map[string]any{"ms": 1})
		task.Log("info", "odd", map[string]any{"n": math.Inf(1)})
		task.Heartbeat()
		var old struct{ Page int }
		found := task.DecodeCheckpoint(&old)
		return found, task.Checkpoint(map[string]int{"page": old.Page + 1})
	},
	"noise": func(context.Context, *Task) (any, error) {
		fmt.Print("no line end")
		child := exec.Command("echo", "from a child")
		child.Stdout = os.Stdout
		return strings.Repeat("x", 1_000_000), child.Run()
	},
	"echo": func(_ context.Context, task *Task) (any, error) {
		if string(task.Data) == `"bad"` {
			return nil, errors.New("bad")
		}
		return len(task.Data), nil
	},
}

type done struct {
	code     int
	out, err string
	events   []event
}

// handle runs a handler as its sidecar does; without a pipe, events come on stdout.
func handle(t *testing.T, name, input string, variables ...string) done {
	t.Helper()
	path := filepath.Join(t.TempDir(), "events")
	command := exec.Command(os.Args[0])
	command.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HANDLER=" + name, "GRIDSIDECAR=1", "GRIDSIDECAR_EVENTS=" + path,
	}, variables...)
	var out, errors bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &out, &errors
	_ = command.Run()
	text, _ := os.ReadFile(path)
	finished := done{code: command.ProcessState.ExitCode(), out: out.String(), err: errors.String()}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var event event
		if json.Unmarshal([]byte(line), &event) == nil {
			finished.events = append(finished.events, event)
		}
	}
	return finished
}

func task(fields string) string {
	return `{"gs":1,"type":"task","task_id":"t1","task_type":"resize","run":{"attempt":1}` + fields + "}\n"
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %.300s, want %.300s", what, fmt.Sprint(got), fmt.Sprint(want))
	}
}

func TestWhatAHandlerReturnsIsTheResult(t *testing.T) {
	for name, result := range map[string]any{
		"quoted": strings.Repeat("[{\"", 99),
		"value":  map[string]any{"a": []any{1.0, "é <&>"}}, "nothing": nil, "half": "half \ufffd, whole 𝄞",
	} {
		done := handle(t, name, task(""))
		want := []event{{"gs": 1.0, "type": "result", "result": result, "task_id": "t1"}}
		if done.code != 0 || !reflect.DeepEqual(done.events, want) {
			t.Errorf("%s: %d %v, want %v", name, done.code, done.events, want)
		}
	}
}

func TestWhatIsNoJSONIsAnErrorThatSaysSo(t *testing.T) {
	for name, words := range map[string]string{"nan": "NaN", "channel": "chan int", "long": "4 MiB", "deep": "deeper than 100"} {
		done := handle(t, name, task(""))
		expect(t, name, []any{done.code, len(done.events)}, []any{65, 1})
		if text := fmt.Sprint(done.events[0]["error"]); !strings.Contains(text, words) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestWhatAHandlerFailsWithIsTheError(t *testing.T) {
	for name, want := range map[string][]any{
		"plain":   {1, "it broke", "error", nil, nil},
		"path":    {1, "open /x: file does not exist", "fs.PathError", nil, nil},
		"nil":     {1, "an error of type *gridsidecar.nilError, whose text cannot be read", "gridsidecar.nilError", nil, nil},
		"endless": {1, strings.Repeat("x", 65536), "error", nil, nil},
		"late":    {1, "fetching: context deadline exceeded", "TimeoutError", nil, nil},
		"retry":   {75, "429", "error", true, 1.5},
		"again":   {75, "wrapped: the handler asks for another attempt", "error", true, nil},
		"bad":     {65, "bad", "error", false, nil},
		"goexit":  {1, "the handler ended its goroutine without returning", "error", nil, nil},
	} {
		done := handle(t, name, task(""))
		expect(t, name, len(done.events), 1)
		event := done.events[0]
		got := []any{done.code, event["error"], event["error_type"], event["retryable"], event["retry_after_s"]}
		expect(t, name, got, want)
	}
}

func TestAPanicIsAnErrorWithItsStack(t *testing.T) {
	done := handle(t, "panic", task(""))
	event := done.events[0]
	expect(t, "panic", []any{done.code, event["error"], event["error_type"]}, []any{1, "boom", "panic"})
	if !strings.Contains(fmt.Sprint(event["traceback"]), "gridsidecar_test.go") || !strings.Contains(done.err, "panic: boom") {
		t.Errorf("no stack: %v %s", event, done.err)
	}
}

func TestData(t *testing.T) {
	expect(t, "data", handle(t, "decode", task(`,"data":{"n":21},"Data":{"n":1},"attempt":"x"`)).events[0]["result"], 42)
	refused := handle(t, "decode", task(`,"data":{"n":"x"}`)).events[0]
	expect(t, "bad data", refused["retryable"], false)
	fields := task(`,"run":{"attempt":3,"deadline_ms":4000000000000,"idempotency_key":"k","redelivered":true}`)
	expect(t, "context", handle(t, "context", fields).events[0]["result"], []any{4e12, 4e12, 3, "k", true})
}

func TestEvents(t *testing.T) {
	done := handle(t, "events", task(`,"run":{"attempt":2,"checkpoint":{"page":17}}`))
	want := []event{
		{"type": "progress", "progress": 40.0, "progress_message": "2 of 5"},
		{"type": "progress", "progress": 100.0},
		{"type": "progress", "progress_message": "?"},
		{"type": "log", "level": "info", "message": "a\nb", "fields": map[string]any{"ms": 1.0}},
		{"type": "log", "level": "info", "message": "odd", "fields": map[string]any{"fields": "map[n:+Inf]"}},
		{"type": "heartbeat"},
		{"type": "checkpoint", "data": map[string]any{"page": 18.0}},
		{"type": "result", "result": true},
	}
	for _, event := range want {
		event["gs"], event["task_id"] = 1.0, "t1"
	}
	if !reflect.DeepEqual(done.events, want) {
		t.Errorf("got %v", done.events)
	}
	if text := fmt.Sprint(handle(t, "large", task("")).events[0]["error"]); !strings.Contains(text, "64 KiB") {
		t.Error(text)
	}
	expect(t, "none yet", handle(t, "events", task(`,"run":{"checkpoint":null}`)).events[7]["result"], false)
}

func TestWithoutAPipeEventsAreOnStdoutAndAllElseOnStderr(t *testing.T) {
	for _, path := range []string{"", "/nowhere/events"} {
		done := handle(t, "noise", task(""), "GRIDSIDECAR_EVENTS="+path)
		var event event
		if err := json.Unmarshal([]byte(done.out), &event); err != nil || len(event["result"].(string)) != 1_000_000 {
			t.Errorf("%v: %.200s", err, done.out)
		}
		if !strings.Contains(done.err, "no line end") || !strings.Contains(done.err, "from a child") {
			t.Errorf("stderr: %s", done.err)
		}
	}
}

func TestHandlersByTaskType(t *testing.T) {
	expect(t, "known", handle(t, "types", task("")).events[0]["result"], "resized")
	unknown := handle(t, "types", task(`,"task_type":"other"`)).events[0]
	expect(t, "unknown", []any{unknown["error"], unknown["error_type"], unknown["retryable"]},
		[]any{"no handler for task type other; there are crop, resize", "NoHandler", false})
}

func TestInputThatIsNoTaskIsTold(t *testing.T) {
	for _, input := range []string{"", "{}\n", "[1]\n", "no JSON"} {
		done := handle(t, "echo", input)
		expect(t, input, []any{done.code, done.events[0]["error_type"]}, []any{65, "ProtocolError"})
	}
}

func TestPersistent(t *testing.T) {
	input := task(`,"data":"`+strings.Repeat("x", 3_000_000)+`"`) + "no JSON\n" + `{"gs":1,"type":"something.new"}` + "\n" +
		task(`,"task_id":"t2","data":"bad"`) + `{"gs":1,"type":"cancel","task_id":"another"}` + "\n" +
		strings.TrimSpace(task(`,"task_id":"t3","data":5`))
	done := handle(t, "echo", input, "GRIDSIDECAR_MODE=persistent")
	expect(t, "code", done.code, 0)
	expect(t, "events", len(done.events), 4)
	expect(t, "ready", done.events[0], event{"capabilities": []any{"cancel"}, "gs": 1, "sdk": "go/0.2.0", "type": "ready"})
	for index, want := range [][]any{{"t1", "result", 3_000_002.0}, {"t2", "error", nil}, {"t3", "result", 1}} {
		event := done.events[index+1]
		expect(t, "event", []any{event["task_id"], event["type"], event["result"]}, want)
	}
}
