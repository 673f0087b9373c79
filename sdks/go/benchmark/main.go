// A handler that has so many tasks at once and waits for so many seconds in each: `benchmark 64 0.02`.
package main

import (
	"context"
	"os"
	"strconv"
	"time"

	gridsidecar "github.com/gridsidecar/gridsidecar/sdks/go"
)

func main() {
	atOnce, _ := strconv.Atoi(os.Args[1])
	seconds, _ := strconv.ParseFloat(os.Args[2], 64)
	gridsidecar.Run(func(ctx context.Context, _ *gridsidecar.Task) (any, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Duration(seconds * float64(time.Second))):
			return nil, nil
		}
	}, gridsidecar.Concurrency(atOnce))
}
