package batch

import "errors"

var (
	// ErrNotFound reports that a store has no such batch or file of this tenant.
	ErrNotFound = errors.New("batch: not found")
	// ErrExists reports that a store has a batch or file of this id already.
	ErrExists = errors.New("batch: exists already")
	// ErrBusy reports that a record was written by others so often that an
	// update could not be placed between them.
	ErrBusy = errors.New("batch: too many concurrent updates")
	// ErrNoObject reports that there are no stored bytes of this name.
	ErrNoObject = errors.New("batch: no such object")
)
