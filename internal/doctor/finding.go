package doctor

import (
	"context"
	"errors"
	"fmt"
)

// ErrDenied reports that the caller may not look at something. What wraps it
// names the permission.
var ErrDenied = errors.New("not permitted")

// A Status is how a check ended.
type Status string

// The statuses, the better first.
const (
	OK      Status = "ok"
	Warning Status = "warning" // it works, or nobody knows; somebody should look at it
	Failure Status = "failure" // batches fail or wait of it
)

// A Finding is what one check found.
type Finding struct {
	Check   string `json:"check"`             // which one: "concurrency", "smoke/cancel"
	Subject string `json:"subject,omitempty"` // of several alike: a route, a batch, a function
	Status  Status `json:"status"`
	Message string `json:"message"`          // what is so, in one line
	Remedy  string `json:"remedy,omitempty"` // what to do; empty where all is well
	Shows   string `json:"shows,omitempty"`  // which behaviour of AWS a step of the smoke test shows
}

// A check returns what it found. It sets no Check.
type check func(ctx context.Context) []Finding

func good(subject, format string, args ...any) Finding {
	return Finding{Subject: subject, Status: OK, Message: fmt.Sprintf(format, args...)}
}

func warn(subject, remedy, format string, args ...any) Finding {
	return Finding{Subject: subject, Status: Warning, Message: fmt.Sprintf(format, args...), Remedy: remedy}
}

func bad(subject, remedy, format string, args ...any) Finding {
	return Finding{Subject: subject, Status: Failure, Message: fmt.Sprintf(format, args...), Remedy: remedy}
}

// unknown says that what could not be looked at, and why.
func unknown(what string, err error) Finding {
	if errors.Is(err, ErrDenied) {
		return warn("", "run it with credentials that have the permission, or leave it unknown", "%s: could not be looked at: %v", what, err)
	}
	return warn("", "try again; if it stays, look at the AWS console", "%s: could not be looked at: %v", what, err)
}
