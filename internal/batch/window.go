package batch

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The bounds of a completion window.
const (
	MinWindow = 10 * time.Second
	MaxWindow = 7 * 24 * time.Hour
)

// ErrWindow reports a completion window that cannot be read or is out of
// bounds; the error wrapping it says how to write one.
var ErrWindow = errors.New("batch: invalid completion window")

// ParseWindow reads a completion window: a Go duration such as "90s", "2h30m"
// or "24h", or whole days such as "7d". It returns an error wrapping ErrWindow
// if s is neither, or is not between MinWindow and MaxWindow.
func ParseWindow(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n uint64
		if n, err = strconv.ParseUint(days, 10, 16); err == nil {
			d = time.Duration(n) * 24 * time.Hour // at most 65,535 days: no overflow
		}
	}
	if err != nil || d < MinWindow || d > MaxWindow {
		return 0, fmt.Errorf("%w: %.32q is not a duration from 10s to 7d, such as 30m, 24h or 7d", ErrWindow, s)
	}
	return d, nil
}
