package budget_test

import (
	"context"
	"sync"
	"time"

	"github.com/musketry/musketry/internal/cost"
)

const (
	// coldStart is what an environment takes before its first invocation, which is billed as the invocation is
	// (https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html).
	coldStart = 150 * time.Millisecond
	// lifetime is the functions' timeout, as infra/stack sets it.
	lifetime = 15 * time.Minute
	// platformLog are the bytes that Lambda logs of an invocation: START, END and REPORT.
	platformLog = 350
)

// A function is a Lambda. E is what one of its environments holds.
type function[E any] struct {
	name   string
	meter  *meter
	memory float64 // GB
	setUp  func() E

	mu      sync.Mutex
	idle    []E
	made    int
	running int
	most    int // running at once
	calls   int
	billed  time.Duration
}

// invoke has an environment do what, as one invocation.
func (f *function[E]) invoke(ctx context.Context, what func(ctx context.Context, env E)) {
	f.mu.Lock()
	f.running++
	f.calls++
	f.most = max(f.most, f.running)
	var env E
	warm := len(f.idle) > 0
	if warm {
		env = f.idle[len(f.idle)-1]
		f.idle = f.idle[:len(f.idle)-1]
	} else {
		f.made++
		env = f.setUp()
	}
	f.mu.Unlock()
	billed := time.Duration(0)
	if !warm {
		billed = spread(coldStart)
		_ = sleep(context.WithoutCancel(ctx), billed)
	}
	began := time.Now()
	limited, cancel := context.WithTimeout(context.WithValue(context.WithoutCancel(ctx), caller{}, f.name), lifetime)
	what(limited, env)
	cancel()
	billed += time.Since(began)
	billed = (billed + time.Millisecond - 1).Truncate(time.Millisecond)
	f.meter.uses(cost.Units{Invocations: 1, GBSeconds: billed.Seconds() * f.memory, LogBytes: platformLog})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running--
	f.billed += billed
	f.idle = append(f.idle, env)
}

// runningNow returns how many invocations there are.
func (f *function[E]) runningNow() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running
}
