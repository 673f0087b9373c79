// Finds the primes up to data.limit, and keeps its sieve from one task to the next.
package main

import (
	"context"
	"errors"

	gridsidecar "github.com/gridsidecar/gridsidecar/sdks/go"
)

var composite = make([]bool, 2)

func main() {
	gridsidecar.Handlers{"default": primes}.Run()
}

func primes(ctx context.Context, task *gridsidecar.Task) (any, error) {
	var data struct{ Limit int }
	if err := task.Decode(&data); err != nil {
		return nil, err
	}
	if data.Limit < 2 || data.Limit > 10_000_000 {
		return nil, gridsidecar.Permanent(errors.New("data.limit must be from 2 to 10,000,000"))
	}
	if len(composite) <= data.Limit {
		sieve(data.Limit)
	}
	count, largest := 0, 0
	for n := 2; n <= data.Limit; n++ {
		if !composite[n] {
			count, largest = count+1, n
		}
	}
	return map[string]int{"count": count, "largest": largest}, ctx.Err()
}

func sieve(limit int) {
	composite = make([]bool, limit+1)
	for n := 2; n*n <= limit; n++ {
		for multiple := n * n; multiple <= limit; multiple += n {
			composite[multiple] = true
		}
	}
}
