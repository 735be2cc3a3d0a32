//go:build !faults

package boot

import "github.com/aws/smithy-go/middleware"

// faults returns nothing: only what is built with the tag faults has calls of
// AWS fail.
func faults(*Metrics) ([]func(*middleware.Stack) error, error) { return nil, nil }
