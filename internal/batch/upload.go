package batch

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// UploadLife is how long the parts of an upload may come, as at OpenAI
// (https://platform.openai.com/docs/api-reference/uploads/create).
const UploadLife = time.Hour

// ErrUploadOrder reports an upload whose completion was begun with other parts.
var ErrUploadOrder = errors.New("batch: the upload's completion was begun with other parts")

// An UploadStatus is an upload's status as OpenAI spells it. That an upload
// has expired is nowhere stored: the clock says it.
type UploadStatus string

// The statuses.
const (
	UploadPending   UploadStatus = "pending"
	UploadCompleted UploadStatus = "completed"
	UploadCanceled  UploadStatus = "cancelled"
	UploadExpired   UploadStatus = "expired"
)

// An Upload is what is stored of a file that comes in parts. Its parts are
// objects and nothing else, so that many can come at once without a write here.
// Stores replace the whole, guarded by Rev.
type Upload struct {
	Tenant    string
	ID        string
	Rev       int64
	FileID    string // of the file it becomes, once its completion has begun, so that completing again makes the same file
	Name      string
	Purpose   Purpose
	MimeType  string
	Bytes     int64         // what the parts must sum up to
	FileLife  time.Duration // 0: the default
	Status    UploadStatus
	Parts     []string // in order, once its completion has begun
	CreatedAt time.Time
}

// ExpiresAt returns when u's life ends, unless it was completed or cancelled.
func (u *Upload) ExpiresAt() time.Time { return u.CreatedAt.Add(UploadLife) }

// StatusAt returns u's status at now.
func (u *Upload) StatusAt(now time.Time) UploadStatus {
	if u.Status == UploadPending && !now.Before(u.ExpiresAt()) {
		return UploadExpired
	}

	return u.Status
}

// Begin begins u's completion with parts in this order, as a file with this id
// unless it has one from an earlier try. Beginning again with the same changes
// nothing. It returns an *UploadError unless u is pending, and
// ErrUploadOrder if it was begun with others.
func (u *Upload) Begin(parts []string, fileID string, now time.Time) error {
	if s := u.StatusAt(now); s != UploadPending {
		return &UploadError{Op: "complete", Status: s}
	}
	if u.Parts != nil && !slices.Equal(u.Parts, parts) {
		return ErrUploadOrder
	}
	u.Parts, u.FileID = slices.Clone(parts), cmp.Or(u.FileID, fileID)

	return nil
}

// Reopen takes Begin back, since the parts were not what they should be.
func (u *Upload) Reopen() error {
	if u.Status != UploadPending {
		return &UploadError{Op: "complete", Status: u.Status}
	}
	u.Parts = nil

	return nil
}

// Complete records that u's file is there. Completing again changes nothing.
// It returns an *UploadError if u was cancelled.
func (u *Upload) Complete() error {
	if u.Status == UploadCanceled {
		return &UploadError{Op: "complete", Status: u.Status}
	}
	u.Status = UploadCompleted

	return nil
}

// Cancel ends u without a file. Canceling again changes nothing. It returns an
// *UploadError if u was completed or has expired.
func (u *Upload) Cancel(now time.Time) error {
	switch s := u.StatusAt(now); s {
	case UploadPending, UploadCanceled:
		u.Status = UploadCanceled

		return nil
	case UploadCompleted, UploadExpired:
		return &UploadError{Op: "cancel", Status: s}
	}

	return nil
}

// An UploadError reports an operation that an upload's status forbids.
type UploadError struct {
	Op     string
	Status UploadStatus
}

func (e *UploadError) Error() string {
	return fmt.Sprintf("batch: cannot %s an upload with status '%s'", e.Op, e.Status)
}

// PartsKey returns the prefix of the names under which an upload's parts are
// stored. All of them begin alike, so that one rule of the bucket can remove
// what nobody completes.
func PartsKey(tenant, uploadID string) string { return fmt.Sprintf("uploads/%s/%s/", tenant, uploadID) }

// PartKey returns the name under which a part is stored.
func PartKey(tenant, uploadID, part string) string { return PartsKey(tenant, uploadID) + part }
