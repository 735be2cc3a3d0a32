package batch

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/tenant"
)

const (
	// UploadLife is how long the parts of an upload may come, as at OpenAI
	// (https://platform.openai.com/docs/api-reference/uploads/create).
	UploadLife = time.Hour
	// MaxUploadParts bounds an upload, as S3 bounds its own
	// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
	MaxUploadParts = 10_000
	// MaxUploadTries is how often the parts of an upload are read to complete
	// it: some for an SDK's repeats, some for a wrong order.
	MaxUploadTries = 10
	// UploadLease is how long a completion that joins the parts is waited for after
	// it was last heard of.
	UploadLease = 20 * time.Second
)

var (
	// ErrUploadOrder reports an upload whose completion was begun with other
	// parts.
	ErrUploadOrder = errors.New("batch: the upload's completion was begun with other parts")
	// ErrUploadSum reports an MD5 that the parts of an upload do not have.
	ErrUploadSum = errors.New("batch: the parts have another MD5")
	// ErrUploadBegun reports an upload whose completion was begun: nothing but
	// the same completion is left to it.
	ErrUploadBegun = errors.New("batch: the upload's completion was begun")
	// ErrUploadTries reports an upload whose parts were read MaxUploadTries
	// times.
	ErrUploadTries = errors.New("batch: the upload's completion was tried too often")
	// ErrUploadJoining reports an upload whose parts another completion joins.
	ErrUploadJoining = errors.New("batch: another completion joins the upload's parts")
)

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
// objects; the record has their sum. Stores replace the whole, guarded by Rev.
type Upload struct {
	Tenant    string
	ID        string
	Rev       int64
	FileID    string // of the file it becomes, once its completion was tried, so that completing again makes the same file
	Name      string
	Purpose   Purpose
	MimeType  string
	Bytes     int64         // what the parts must sum up to
	FileLife  time.Duration // 0: the default
	Status    UploadStatus
	CreatedAt time.Time

	// Reserved is what the parts have together: never less than what is stored
	// of them while nothing fails, and at most Bytes.
	Reserved      int64
	ReservedParts int
	ReservedAt    time.Time // the last part

	Order string // of the parts (see PartOrder), once the completion has begun
	Sum   string // MD5 of the parts in that order, in hex

	JoinedBy    string    // the completion that joins the parts; empty: none does
	JoinedUntil time.Time // unless it is heard of again

	Tries     int    // completions that read the parts
	ReadOrder string // of the parts that were read last, and found to be
	ReadSum   string // of this MD5
}

// PartOrder returns what stands for the parts of an upload in an order: no
// other parts, and no other order, have the same.
func PartOrder(ids []string) string {
	sum := sha256.Sum256([]byte(strings.Join(ids, "\n")))
	return hex.EncodeToString(sum[:])
}

// ExpiresAt returns when u's life ends, unless it was completed or cancelled.
func (u *Upload) ExpiresAt() time.Time { return u.CreatedAt.Add(UploadLife) }

// StatusAt returns u's status at now. Once its completion has begun, it expires
// no more: its file may be there.
func (u *Upload) StatusAt(now time.Time) UploadStatus {
	if u.Status == UploadPending && !u.Begun() && !now.Before(u.ExpiresAt()) {
		return UploadExpired
	}
	return u.Status
}

// Begun reports whether u's completion has begun, which is never taken back.
func (u *Upload) Begun() bool { return u.Order != "" }

// ReservePart reserves a part of so many bytes, before it is stored. It returns
// an *UploadError unless u is pending, ErrUploadBegun if its completion has
// begun, and a *tenant.LimitError if the parts would be more than was declared.
func (u *Upload) ReservePart(bytes int64, now time.Time) error {
	switch s := u.StatusAt(now); {
	case s != UploadPending:
		return &UploadError{Op: "add a part to", Status: s}
	case u.Begun():
		return ErrUploadBegun
	case u.ReservedParts >= MaxUploadParts:
		return &tenant.LimitError{Of: tenant.LimitParts, Max: MaxUploadParts, Now: u.ReservedParts, Asked: 1}
	case bytes > u.Bytes-u.Reserved:
		return &tenant.LimitError{Of: tenant.LimitUploadBytes, Max: int(u.Bytes), Now: int(u.Reserved), Asked: int(bytes)}
	}
	u.Reserved, u.ReservedParts, u.ReservedAt = u.Reserved+bytes, u.ReservedParts+1, now
	return nil
}

// CancelReservation records that a part that was reserved was not stored.
func (u *Upload) CancelReservation(bytes int64) {
	u.Reserved, u.ReservedParts = max(u.Reserved-bytes, 0), max(u.ReservedParts-1, 0)
}

// Recount records what is stored of u's parts, as it was seen when the last
// part was reserved at reservedAt. If another was since, it changes nothing.
func (u *Upload) Recount(parts []Stored, reservedAt time.Time) {
	if !u.ReservedAt.Equal(reservedAt) {
		return
	}
	u.Reserved, u.ReservedParts = 0, len(parts)
	for _, p := range parts {
		u.Reserved += p.Bytes
	}
}

// Matches returns nil if a completion with parts in this order, and with this
// MD5 unless it is empty, is the one that u was begun with. It returns
// ErrUploadOrder, or an *UploadError of a completed one, if the parts are
// others, and ErrUploadSum if the MD5 is.
func (u *Upload) Matches(order, sum string) error {
	switch {
	case u.Order != order && u.Status == UploadCompleted:
		return &UploadError{Op: "complete", Status: u.Status}
	case u.Order != order:
		return ErrUploadOrder
	case sum != "" && !strings.EqualFold(sum, u.Sum):
		return ErrUploadSum
	}
	return nil
}

// Try counts a completion that reads the parts, to make a file with this id
// unless an earlier try has chosen one. It returns an *UploadError
// unless u is pending, what Matches does if the completion has begun,
// ErrUploadSum if the parts were read in this order before and have another MD5,
// and ErrUploadTries if they were read too often.
func (u *Upload) Try(order, sum, fileID string, now time.Time) error {
	switch s := u.StatusAt(now); {
	case s != UploadPending:
		return &UploadError{Op: "complete", Status: s}
	case u.Begun():
		return u.Matches(order, sum) // it must come to its end, however often that fails
	case sum != "" && order == u.ReadOrder && !strings.EqualFold(sum, u.ReadSum):
		return ErrUploadSum
	case u.Tries >= MaxUploadTries:
		return ErrUploadTries
	}
	u.Tries, u.FileID = u.Tries+1, cmp.Or(u.FileID, fileID)
	return nil
}

// Joined reports whether a completion joins u's parts at now.
func (u *Upload) Joined(now time.Time) bool { return u.JoinedBy != "" && now.Before(u.JoinedUntil) }

// Join records that the completion named by, which must not be empty, joins the
// parts, and is heard of at now. It returns ErrUploadJoining if another does.
func (u *Upload) Join(by string, now time.Time) error {
	if u.JoinedBy != by && u.Joined(now) {
		return ErrUploadJoining
	}
	u.JoinedBy, u.JoinedUntil = by, now.Add(UploadLease)
	return nil
}

// Rejoin records that the completion named by is heard of at now. It returns
// ErrUploadJoining if it joins the parts no more.
func (u *Upload) Rejoin(by string, now time.Time) error {
	if u.JoinedBy != by {
		return ErrUploadJoining
	}
	return u.Join(by, now)
}

// LetGo records that the completion named by joins the parts no more.
func (u *Upload) LetGo(by string) {
	if u.JoinedBy == by {
		u.JoinedBy, u.JoinedUntil = "", time.Time{}
	}
}

// Saw records that the parts in this order have this MD5.
func (u *Upload) Saw(order, sum string) { u.ReadOrder, u.ReadSum = order, sum }

// Begin begins u's completion with parts in this order, which have this MD5.
// From then on no others become its file. It is idempotent. It returns an *UploadError unless u is pending, and what Matches does
// if it was begun.
func (u *Upload) Begin(order, sum string, now time.Time) error {
	if s := u.StatusAt(now); s != UploadPending {
		return &UploadError{Op: "complete", Status: s}
	}
	if u.Begun() {
		return u.Matches(order, sum)
	}
	u.Order, u.Sum = order, sum
	return nil
}

// Complete records that u's file is there. It is idempotent.
// It returns an *UploadError if u was cancelled.
func (u *Upload) Complete() error {
	if u.Status == UploadCanceled {
		return &UploadError{Op: "complete", Status: u.Status}
	}
	u.Status, u.JoinedBy, u.JoinedUntil = UploadCompleted, "", time.Time{}
	return nil
}

// Cancel ends u without a file. It is idempotent. It returns an
// *UploadError if u was completed or has expired, and ErrUploadBegun if its
// completion has begun, since the file may be there.
func (u *Upload) Cancel(now time.Time) error {
	switch s := u.StatusAt(now); s {
	case UploadPending, UploadCanceled:
		if u.Begun() {
			return ErrUploadBegun
		}
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

// A Stored is what a store of bytes says of an object.
type Stored struct {
	Key   string
	Bytes int64
}
