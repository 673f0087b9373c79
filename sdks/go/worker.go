package gridsidecar

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"
)

// worker takes tasks and reports on them.
type worker struct {
	choose      func(*Task) (Handler, error)
	channel     *channel
	concurrency int

	mutex   sync.Mutex
	current *Task
	newest  *Task // the one that came last
	stopper *stopper
}

// once runs the one task of a process; the exit code for it.
func (worker *worker) once(stdin io.Reader) int {
	line, _ := io.ReadAll(stdin)
	read := readMessage(line)
	if read.text("type") != "task" {
		text := "stdin holds no task message; the SDK needs `input: task` in the handler's configuration"
		return worker.fail(&Task{channel: worker.channel}, typed{Permanent(errors.New(text)), "ProtocolError"})
	}
	return worker.attempt(newTask(read, bytes.TrimSpace(line), worker.channel))
}

// serve runs one task after the other until stdin ends. It reads on meanwhile, for a cancel message.
func (worker *worker) serve(stdin io.Reader) {
	_ = worker.channel.send(event{"type": "ready", "sdk": sdk, "capabilities": []string{"cancel"}})
	tasks := make(chan *Task, 16)
	go worker.read(bufio.NewReaderSize(stdin, 1<<16), tasks)
	for task := range tasks {
		worker.attempt(task)
	}
}

func (worker *worker) read(stdin *bufio.Reader, tasks chan<- *Task) {
	defer close(tasks)
	for {
		line, err := stdin.ReadBytes('\n')
		switch read := readMessage(line); read.text("type") {
		case "task":
			tasks <- worker.announce(newTask(read, bytes.TrimSpace(line), worker.channel))
		case "cancel":
			worker.cancel(read.text("task_id"), int(read.number("attempt")))
		}
		if err != nil {
			return
		}
	}
}

func (worker *worker) announce(task *Task) *Task {
	worker.mutex.Lock()
	defer worker.mutex.Unlock()
	worker.newest = task
	return task
}

// cancel ends a task that runs or has not begun yet, if it is this one; attempt may be 0.
func (worker *worker) cancel(id string, attempt int) {
	worker.mutex.Lock()
	defer worker.mutex.Unlock()
	task := worker.newest
	if task == nil || task.ID != id || (attempt != 0 && attempt != task.Attempt) {
		return
	}
	task.cancelled = true
	if worker.current == task {
		worker.stopper.stop()
	}
}

// attempt runs one task to its last event; the exit code for it. After SIGTERM the process ends with it.
func (worker *worker) attempt(task *Task) int {
	ctx, stopper := newStopper(task.Deadline)
	err := errStopped
	if worker.setCurrent(task, stopper) {
		err = worker.do(ctx, task)
	}
	worker.setCurrent(nil, nil)
	code := 0
	switch {
	case err == nil:
	case stopper.terminated.Load() && !errors.As(err, &wish{}):
		fmt.Fprintln(os.Stderr, err)
		code = 143
	default:
		code = worker.fail(task, err)
	}
	if stopper.terminated.Load() {
		os.Exit(code)
	}
	stopper.close()
	return code
}

// setCurrent says whether the task is still wanted.
func (worker *worker) setCurrent(task *Task, stopper *stopper) bool {
	worker.mutex.Lock()
	defer worker.mutex.Unlock()
	worker.current, worker.stopper = task, stopper
	return task == nil || !task.cancelled
}

func (worker *worker) fail(task *Task, err error) int {
	var p *panicked
	if errors.As(err, &p) {
		fmt.Fprintf(os.Stderr, "panic: %s\n\n%s", p.Error(), p.stack)
	}
	_ = task.end(errorEvent(err))
	return exitCodeOf(err)
}

var errStopped = errors.New("the task was stopped (cancel)")
var errGone = errors.New("the handler ended its goroutine without returning")

// do calls the handler in a goroutine of its own, which a handler may also end, and sends the result.
func (worker *worker) do(ctx context.Context, task *Task) error {
	ended := make(chan error, 1)
	go func() {
		err := errGone
		defer func() {
			if value := recover(); value != nil {
				err = &panicked{value, string(debug.Stack())}
			}
			ended <- err
		}()
		err = worker.call(ctx, task)
	}()
	return <-ended
}

func (worker *worker) call(ctx context.Context, task *Task) error {
	handler, err := worker.choose(task)
	if err != nil {
		return err
	}
	result, err := handler(ctx, task)
	if err != nil {
		return err
	}
	if err := task.end(event{"type": "result", "result": result}); err != nil {
		return Permanent(fmt.Errorf("the result cannot be sent as JSON: %w", err))
	}
	return nil
}
