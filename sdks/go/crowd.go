package gridsidecar

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
)

// oneOfMany is a task that runs beside others, and what ends it.
type oneOfMany struct {
	task   *Task
	cancel context.CancelFunc
	seen   atomic.Bool // somebody looks at its context, and will end it
}

// crowd is all tasks of a process that takes many at once.
type crowd struct {
	*worker
	mutex      sync.Mutex
	running    map[string]*oneOfMany
	terminated atomic.Bool // by SIGTERM: the sidecar knows why, and says so better than errors of ours
	all        sync.WaitGroup
}

// serveMany runs tasks, each in its goroutine, until stdin ends.
func (worker *worker) serveMany(stdin io.Reader) {
	crowd := &crowd{worker: worker, running: map[string]*oneOfMany{}}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		crowd.terminate()
	}()
	ready := event{"type": "ready", "sdk": sdk, "capabilities": []string{"cancel"}, "concurrency": worker.concurrency}
	_ = worker.channel.send(ready)
	crowd.read(bufio.NewReaderSize(stdin, 1<<16))
	crowd.all.Wait()
}

func (crowd *crowd) read(stdin *bufio.Reader) {
	for {
		line, err := stdin.ReadBytes('\n')
		switch read := readMessage(line); read.text("type") {
		case "task":
			crowd.begin(newTask(read, bytes.TrimSpace(line), crowd.channel))
		case "cancel":
			crowd.cancelOne(read.text("task_id"), int(read.number("attempt")))
		}
		if err != nil {
			return
		}
	}
}

func (crowd *crowd) begin(task *Task) {
	ctx, cancel := context.WithCancel(context.Background())
	if !task.Deadline.IsZero() {
		ctx, cancel = context.WithDeadline(context.Background(), task.Deadline)
	}
	one := &oneOfMany{task: task, cancel: cancel}
	crowd.mutex.Lock()
	crowd.running[task.ID] = one
	crowd.mutex.Unlock()
	crowd.all.Add(1)
	go func() {
		defer crowd.all.Done()
		crowd.attemptOne(watched{ctx, &one.seen}, one)
	}()
}

func (crowd *crowd) attemptOne(ctx context.Context, one *oneOfMany) {
	err := crowd.do(ctx, one.task)
	one.cancel()
	switch {
	case err == nil:
	case crowd.terminated.Load() && !errors.As(err, &wish{}):
		fmt.Fprintln(os.Stderr, err)
	default:
		crowd.fail(one.task, err)
	}
	crowd.mutex.Lock()
	if crowd.running[one.task.ID] == one {
		delete(crowd.running, one.task.ID)
	}
	crowd.mutex.Unlock()
	if crowd.terminated.Load() {
		crowd.leaveIfOver()
	}
}

// cancelOne ends the context of this task; attempt may be 0. Nothing else can end it without its neighbours.
func (crowd *crowd) cancelOne(id string, attempt int) {
	crowd.mutex.Lock()
	defer crowd.mutex.Unlock()
	if one := crowd.running[id]; one != nil && (attempt == 0 || attempt == one.task.Attempt) {
		one.cancel()
	}
}

func (crowd *crowd) terminate() {
	crowd.terminated.Store(true)
	crowd.mutex.Lock()
	for _, one := range crowd.running {
		one.cancel()
	}
	crowd.mutex.Unlock()
	crowd.leaveIfOver()
}

// leaveIfOver ends the process once only tasks are left that nobody could tell to end.
func (crowd *crowd) leaveIfOver() {
	crowd.mutex.Lock()
	defer crowd.mutex.Unlock()
	for _, one := range crowd.running {
		if one.seen.Load() {
			return
		}
	}
	os.Exit(143)
}
