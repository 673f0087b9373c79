package gridsidecar

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
)

const (
	maxLineBytes = 4 << 20
	maxDepth     = 100
)

type event map[string]any

// channel is where events go: the pipe that the sidecar offers, or marked lines on stdout where there is none.
type channel struct {
	mutex sync.Mutex
	file  *os.File
}

func openChannel() *channel {
	path := os.Getenv("GRIDSIDECAR_EVENTS")
	_ = os.Unsetenv("GRIDSIDECAR_EVENTS") // children of this process do not inherit the pipe
	if path != "" {
		if file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600); err == nil {
			closeInherited(path)
			return &channel{file: file}
		}
	}
	stdout := os.Stdout
	os.Stdout = os.Stderr // what the handler and its children print cannot get between our lines
	return &channel{file: stdout}
}

// closeInherited closes the descriptor that came with the process; ours is opened anew and stays out of children.
func closeInherited(path string) {
	if number, err := strconv.ParseUint(strings.TrimPrefix(path, "/dev/fd/"), 10, 31); err == nil && number > 2 {
		_ = os.NewFile(uintptr(number), path).Close()
	}
}

// send writes one event, wholly, before it returns. It fails when the event is no JSON or too long; a sidecar that is
// gone is no failure.
func (channel *channel) send(event event) error {
	line := event.with("gs", 1)
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	if len(text) >= maxLineBytes {
		return fmt.Errorf("the %s has %d bytes, more than the 4 MiB of a message: store it elsewhere and send a reference",
			event["type"], len(text))
	}
	if deeper(text) {
		return fmt.Errorf("it is nested deeper than %d levels", maxDepth)
	}
	channel.mutex.Lock()
	defer channel.mutex.Unlock()
	_, _ = channel.file.Write(append(text, '\n'))
	return nil
}

func (e event) with(name string, value any) event {
	copied := event{name: value}
	for key, old := range e {
		copied[key] = old
	}
	return copied
}

// deeper finds what the sidecar would pass over: it is nested too deep for its database.
func deeper(text []byte) bool {
	depth, quoted := 0, false
	for index := 0; index < len(text); index++ {
		switch at := text[index]; {
		case quoted && at == '\\':
			index++
		case at == '"':
			quoted = !quoted
		case quoted:
		case at == '[' || at == '{':
			depth++
		case at == ']' || at == '}':
			depth--
		}
		if depth > maxDepth {
			return true
		}
	}
	return false
}
