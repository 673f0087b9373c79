package gridsidecar

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// A Task is one attempt at a task.
type Task struct {
	ID             string
	Type           string
	Data           json.RawMessage
	MaxRetryCount  int
	Attempt        int    // counts from 1
	IdempotencyKey string // the same on every attempt
	Redelivered    bool   // it may have been started before
	Deadline       time.Time
	TraceParent    string
	LastCheckpoint json.RawMessage // what an earlier attempt saved; nil when there is none
	Message        json.RawMessage // the whole message, with the producer's own fields

	channel   *channel
	ended     atomic.Bool
	cancelled bool // before it began; of the worker's mutex
}

// message is an object by its exact names: encoding/json alone would take a producer's "Data" for "data".
type message map[string]json.RawMessage

func readMessage(line []byte) message {
	var read message
	_ = json.Unmarshal(line, &read)
	return read
}

func (m message) text(name string) (text string) {
	_ = json.Unmarshal(m[name], &text)
	return text
}

func (m message) number(name string) (number int64) {
	_ = json.Unmarshal(m[name], &number)
	return number
}

func newTask(m message, line []byte, channel *channel) *Task {
	run := readMessage(m["run"])
	task := &Task{
		ID: m.text("task_id"), Type: m.text("task_type"), Data: m["data"], MaxRetryCount: int(m.number("max_retry_count")),
		Attempt: int(run.number("attempt")), IdempotencyKey: run.text("idempotency_key"),
		TraceParent: run.text("traceparent"), Message: line, channel: channel,
	}
	_ = json.Unmarshal(run["redelivered"], &task.Redelivered)
	if deadline := run.number("deadline_ms"); deadline > 0 {
		task.Deadline = time.UnixMilli(deadline)
	}
	if checkpoint := run["checkpoint"]; string(checkpoint) != "null" {
		task.LastCheckpoint = checkpoint
	}
	return task
}

// Decode reads the task's data into a variable. Its error is a permanent one: another attempt has the same data.
func (task *Task) Decode(into any) error {
	if err := json.Unmarshal(task.Data, into); err != nil {
		return Permanent(fmt.Errorf("the task's data: %w", err))
	}
	return nil
}

// DecodeCheckpoint reads what an earlier attempt saved; false when there is none or it does not fit.
func (task *Task) DecodeCheckpoint(into any) bool {
	return task.LastCheckpoint != nil && json.Unmarshal(task.LastCheckpoint, into) == nil
}

// Progress says how far it is, from 0 to 100, and in words unless they are empty. It never fails a task.
func (task *Task) Progress(percent float64, message string) {
	event := event{"type": "progress"}
	if !math.IsNaN(percent) {
		event["progress"] = math.Min(100, math.Max(0, percent))
	}
	if message != "" {
		event["progress_message"] = message
	}
	_ = task.send(event)
}

// Log adds a line to the task's log; level is debug, info, warning or error, and fields may be nil.
func (task *Task) Log(level, message string, fields map[string]any) {
	event := event{"type": "log", "level": level, "message": message}
	if fields != nil {
		event["fields"] = fields
	}
	if task.send(event) != nil { // no JSON: shown as text
		event["fields"] = map[string]any{"fields": fmt.Sprintf("%+v", fields)}
		_ = task.send(event)
	}
}

const maxCheckpointBytes = 64 << 10

// Checkpoint saves where a next attempt can go on. It fails when the data is no JSON of at most 64 KiB.
func (task *Task) Checkpoint(data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	if len(text) > maxCheckpointBytes {
		return errors.New("a checkpoint may have 64 KiB as JSON: store the rest elsewhere and save a reference")
	}
	return task.send(event{"type": "checkpoint", "data": json.RawMessage(text)})
}

// Heartbeat says that the handler lives, where it has nothing else to say.
func (task *Task) Heartbeat() {
	_ = task.send(event{"type": "heartbeat"})
}

// send drops what comes after the end: a goroutine that was left behind.
func (task *Task) send(event event) error {
	if task.ended.Load() {
		return nil
	}
	if task.ID != "" {
		event["task_id"] = task.ID
	}
	return task.channel.send(event)
}

// end sends the last event.
func (task *Task) end(event event) error {
	if err := task.send(event); err != nil {
		return err
	}
	task.ended.Store(true)
	return nil
}
