// Package wait looks for what nobody announces: a process that has ended, a server that answers. It knows time alone.
package wait

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Every is how often it is looked.
const Every = 50 * time.Millisecond

// ErrTimeout reports that what was waited for did not come in time.
var ErrTimeout = errors.New("took too long")

// Until looks again and again until done says so. It returns done's error, the context's, or ErrTimeout after the
// patience given.
func Until(ctx context.Context, patience time.Duration, done func() (bool, error)) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(Every)
	defer ticker.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			return fmt.Errorf("%w: %s", ErrTimeout, patience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
