package gridsidecar

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// watched is a context that knows whether anybody ever looked at it.
type watched struct {
	context.Context
	seen *atomic.Bool
}

func (w watched) Done() <-chan struct{} {
	w.seen.Store(true)
	return w.Context.Done()
}

func (w watched) Err() error {
	w.seen.Store(true)
	return w.Context.Err()
}

// stopper ends one attempt's context.
type stopper struct {
	cancel     context.CancelFunc
	seen       atomic.Bool
	terminated atomic.Bool // by SIGTERM: the sidecar knows why, and says so better than an error of ours
	signals    chan os.Signal
}

func newStopper(deadline time.Time) (context.Context, *stopper) {
	stopper := &stopper{signals: make(chan os.Signal, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	if !deadline.IsZero() {
		ctx, cancel = context.WithDeadline(context.Background(), deadline)
	}
	stopper.cancel = cancel
	signal.Notify(stopper.signals, syscall.SIGTERM)
	go stopper.listen()
	return watched{ctx, &stopper.seen}, stopper
}

func (stopper *stopper) listen() {
	if _, asked := <-stopper.signals; asked {
		stopper.terminated.Store(true)
		stopper.stop()
	}
}

// stop ends the context, or the process where nobody looks at it.
func (stopper *stopper) stop() {
	if !stopper.seen.Load() {
		os.Exit(143)
	}
	stopper.cancel()
}

// close leaves SIGTERM to itself again.
func (stopper *stopper) close() {
	signal.Stop(stopper.signals)
	close(stopper.signals)
	stopper.cancel()
}
