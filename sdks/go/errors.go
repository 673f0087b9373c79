package gridsidecar

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

type wish struct {
	error
	retryable bool
	after     time.Duration // 0: as the policy says
}

func (w wish) Unwrap() error { return w.error }

// Retry marks a failure that passes: the task is tried again, not before the given time; with 0, when the retry policy
// says.
func Retry(err error, after time.Duration) error {
	return wish{orElse(err, "the handler asks for another attempt"), true, after}
}

// Permanent marks a failure for good: there is no further attempt.
func Permanent(err error) error {
	return wish{orElse(err, "the handler gave the task up"), false, 0}
}

func orElse(err error, text string) error {
	if err == nil {
		return errors.New(text)
	}
	return err
}

type typed struct {
	error
	name string
}

func (t typed) Unwrap() error     { return t.error }
func (t typed) ErrorType() string { return t.name }

// errorEvent is what is reported of an error. Its type is what `ErrorType() string` says where an error in the chain
// has it, else the Go type.
func errorEvent(err error) event {
	event := event{"type": "error", "error": textOf(err), "error_type": typeOf(err)}
	var w wish
	if errors.As(err, &w) {
		event["retryable"] = w.retryable
		if w.retryable && w.after > 0 {
			event["retry_after_s"] = w.after.Seconds()
		}
	}
	var p *panicked
	if errors.As(err, &p) {
		event["traceback"] = p.stack
	}
	return event
}

const maxErrorBytes = 1 << 16 // the sidecar keeps less

// textOf survives an Error method that panics, as that of a nil pointer does.
func textOf(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("an error of type %T, whose text cannot be read", err)
		}
	}()
	if text = err.Error(); len(text) > maxErrorBytes {
		text = text[:maxErrorBytes]
	}
	return text
}

func typeOf(err error) string {
	var named interface{ ErrorType() string }
	if errors.As(err, &named) {
		return named.ErrorType()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "TimeoutError"
	case errors.Is(err, context.Canceled):
		return "Cancelled"
	}
	if w, marked := err.(wish); marked {
		err = w.error
	}
	switch name := strings.TrimPrefix(fmt.Sprintf("%T", err), "*"); name {
	case "errors.errorString", "fmt.wrapError":
		return "error"
	default:
		return name
	}
}

// exitCodeOf says the same as the error event, should that get lost.
func exitCodeOf(err error) int {
	var w wish
	switch {
	case !errors.As(err, &w):
		return 1
	case w.retryable:
		return 75
	default:
		return 65
	}
}

// panicked is what a handler's panic becomes.
type panicked struct {
	value any
	stack string
}

func (p *panicked) Error() string {
	return fmt.Sprint(p.value)
}

func (p *panicked) Unwrap() error {
	err, _ := p.value.(error)
	return err
}

func (p *panicked) ErrorType() string { return "panic" }
