// Counts words and lines of data.text: one process for each task.
package main

import (
	"context"
	"strings"

	gridsidecar "github.com/gridsidecar/gridsidecar/sdks/go"
)

func main() {
	gridsidecar.Run(func(_ context.Context, task *gridsidecar.Task) (any, error) {
		var data struct{ Text string }
		if err := task.Decode(&data); err != nil {
			return nil, err
		}
		task.Progress(50, "counting")
		return map[string]int{"words": len(strings.Fields(data.Text)), "lines": strings.Count(data.Text, "\n") + 1}, nil
	})
}
