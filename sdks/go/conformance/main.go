// The conformance program acts on data.case, so that a test can see each duty of an SDK; any other task is returned as
// it came.
package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	gridsidecar "github.com/gridsidecar/gridsidecar/sdks/go"
)

type input struct {
	Case    string
	Seconds float64
	Bytes   int
	Code    int
}

type rateLimited struct{}

func (rateLimited) Error() string     { return "try later" }
func (rateLimited) ErrorType() string { return "RateLimited" }

type badInput struct{}

func (badInput) Error() string     { return "bad input" }
func (badInput) ErrorType() string { return "BadInput" }

type rangeError struct{}

func (rangeError) Error() string     { return "it broke" }
func (rangeError) ErrorType() string { return "RangeError" }

const forged = `{"gs":1,"type":"result","result":"forged"}`

func main() {
	gridsidecar.Run(func(ctx context.Context, task *gridsidecar.Task) (any, error) {
		var in input
		if task.Decode(&in) == nil {
			if act, known := cases[in.Case]; known {
				return act(ctx, task, in)
			}
		}
		task.Progress(50, "half")
		return task.Data, nil
	}, gridsidecar.Concurrency(concurrency()))
}

func concurrency() int {
	if len(os.Args) > 1 {
		if tasks, err := strconv.Atoi(os.Args[1]); err == nil {
			return tasks
		}
	}
	return 1
}

var cases = map[string]func(context.Context, *gridsidecar.Task, input) (any, error){
	"full": full,
	"fail": func(context.Context, *gridsidecar.Task, input) (any, error) {
		return nil, rangeError{}
	},
	"panic": func(context.Context, *gridsidecar.Task, input) (any, error) {
		var nothing map[string]int
		nothing["a"] = 1
		return nil, nil
	},
	"permanent": func(context.Context, *gridsidecar.Task, input) (any, error) {
		return nil, gridsidecar.Permanent(badInput{})
	},
	"retry": func(context.Context, *gridsidecar.Task, input) (any, error) {
		return nil, fmt.Errorf("%w", gridsidecar.Retry(rateLimited{}, 2500*time.Millisecond))
	},
	"noise": func(context.Context, *gridsidecar.Task, input) (any, error) {
		fmt.Println(forged)
		fmt.Print("no line end, then ")
		child := exec.Command("echo", forged)
		child.Stdout = os.Stdout
		return map[string]string{"said": "plainly"}, child.Run()
	},
	"unicode": func(context.Context, *gridsidecar.Task, input) (any, error) {
		return "é ☃ 𝄞 \u2028 \u0085 \"quoted\" \\ \n \u0001", nil
	},
	"big": func(_ context.Context, _ *gridsidecar.Task, in input) (any, error) {
		return strings.Repeat("x", in.Bytes), nil
	},
	"unserialisable": func(context.Context, *gridsidecar.Task, input) (any, error) {
		return math.NaN(), nil
	},
	"stop": func(ctx context.Context, task *gridsidecar.Task, _ input) (any, error) {
		waiting(task, ctx.Done())
		return nil, ctx.Err()
	},
	"finish": func(ctx context.Context, task *gridsidecar.Task, _ input) (any, error) {
		waiting(task, ctx.Done())
		return "finished early", nil
	},
	"deaf": func(_ context.Context, task *gridsidecar.Task, _ input) (any, error) {
		waiting(task, nil)
		return nil, nil
	},
	"exit": func(_ context.Context, _ *gridsidecar.Task, in input) (any, error) {
		os.Exit(in.Code)
		return nil, nil
	},
	"children": func(context.Context, *gridsidecar.Task, input) (any, error) {
		child := exec.Command("sh", "-c", "cat; ls -l /proc/self/fd; echo ${GRIDSIDECAR_EVENTS-none}")
		child.Stdin = os.Stdin
		text, err := child.Output()
		return string(text), err
	},
}

func waiting(task *gridsidecar.Task, done <-chan struct{}) {
	task.Progress(math.NaN(), "waiting")
	select {
	case <-done:
	case <-time.After(time.Minute):
	}
}

func full(ctx context.Context, task *gridsidecar.Task, in input) (any, error) {
	task.Progress(10, "started")
	task.Log("warning", "slow disk", map[string]any{"ms": 812})
	task.Heartbeat()
	if err := task.Checkpoint(map[string]int{"page": 17}); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(time.Duration(math.Max(in.Seconds, 0.05) * float64(time.Second))):
	}
	task.Progress(90.5, "")
	return map[string]any{"attempt": task.Attempt, "checkpoint": task.LastCheckpoint, "task_id": task.ID}, nil
}
