// Package gridsidecar runs task handlers for the gridsidecar worker: one function, or one for each task type, in
// oneshot and in persistent mode.
package gridsidecar

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"
)

const sdk = "go/0.2.0"

// A Handler does one task. What it returns is the result, or the error. The context ends at the task's deadline, on
// SIGTERM and when the task is cancelled; a handler that never looks at it is ended at once.
type Handler func(ctx context.Context, task *Task) (any, error)

// Handlers has a handler for each task type; "default" takes every type that has none.
type Handlers map[string]Handler

// An Option says how a process takes its tasks.
type Option func(*worker)

// Concurrency is the most tasks at once in one process, each in its goroutine: in persistent mode, and as far as the
// sidecar's persistent.concurrency allows. Less than 1 panics.
func Concurrency(tasks int) Option {
	if tasks < 1 {
		panic(fmt.Sprintf("gridsidecar: concurrency must be at least 1, not %d", tasks))
	}
	return func(worker *worker) { worker.concurrency = tasks }
}

// Run serves this process's tasks with one handler. It ends the process when there is no more to do.
func Run(handler Handler, options ...Option) {
	serve(func(*Task) (Handler, error) { return handler, nil }, options)
}

// Run serves this process's tasks, each with the handler of its type. It ends the process when there is no more to do.
func (handlers Handlers) Run(options ...Option) {
	serve(handlers.choose, options)
}

func (handlers Handlers) choose(task *Task) (Handler, error) {
	for _, name := range []string{task.Type, "default"} {
		if handler, known := handlers[name]; known {
			return handler, nil
		}
	}
	names := make([]string, 0, len(handlers))
	for name := range handlers {
		names = append(names, name)
	}
	sort.Strings(names)
	known := strings.Join(names, ", ")
	return nil, typed{Permanent(fmt.Errorf("no handler for task type %s; there are %s", task.Type, known)), "NoHandler"}
}

func serve(choose func(*Task) (Handler, error), options []Option) {
	if os.Getenv("GRIDSIDECAR") == "" && isTerminal(os.Stdin) {
		fmt.Fprintf(os.Stderr, "This is a gridsidecar handler. Try it: gridsidecar exec --data '{}' -- %s\n", os.Args[0])
		os.Exit(64)
	}
	persistent := os.Getenv("GRIDSIDECAR_MODE") == "persistent"
	stdin := takeStdin()
	worker := &worker{choose: choose, channel: openChannel(), concurrency: 1}
	for _, option := range options {
		option(worker)
	}
	if persistent && worker.concurrency > 1 {
		worker.serveMany(stdin)
		os.Exit(0)
	}
	if persistent {
		worker.serve(stdin)
		os.Exit(0)
	}
	os.Exit(worker.once(stdin))
}

func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && info.Name() != os.DevNull
}

// takeStdin keeps the tasks for us: what the handler and its children read is empty.
func takeStdin() *os.File {
	stdin := os.Stdin
	if empty, err := os.Open(os.DevNull); err == nil {
		os.Stdin = empty
	}
	return stdin
}
