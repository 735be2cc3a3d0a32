package tenant

import (
	"maps"
	"time"
)

const (
	// MaxStoredChanges is how many changes of what is stored a Quota lists: 50
	// KB of DynamoDB's 400. What comes beyond is found when files are counted.
	MaxStoredChanges = 1_000
	// MaxOpenUploads is how many open uploads it lists, some 60 KB.
	MaxOpenUploads = 1_000
	// reservationLife is how long a file that was to be made may be without its
	// record: a call of the API takes at most half a minute, and what is older was
	// left by a crash.
	reservationLife = 10 * time.Minute
)

// A StoredChange is a file that was made, or deleted, since a tenant's files
// were counted.
type StoredChange struct {
	Bytes int64 `json:"b"` // 0 or less: deleted, and so much of what was counted is no more
	At    int64 `json:"t"` // Unix seconds
}

// Stored returns the bytes of q's files and of its open uploads.
func (q *Quota) Stored() int64 {
	sum := q.FileBytes
	for c := range maps.Values(q.Changes) {
		sum += c.Bytes
	}
	for bytes := range maps.Values(q.Uploads) {
		sum += bytes
	}
	return max(sum, 0)
}

// Counted reports whether q's files were ever counted. Before that q knows
// nothing of what is stored.
func (q *Quota) Counted() bool { return !q.CountedAt.IsZero() }

// CountCreate counts a create in the minute of now. It returns a *LimitError, and
// changes nothing, if there were too many.
func (q *Quota) CountCreate(now time.Time, l Limits) error {
	if l.Creates == 0 {
		return nil
	}
	minute, made := now.UTC().Truncate(time.Minute), q.Creates
	if !q.Minute.Equal(minute) {
		made = 0
	}
	if made >= l.Creates {
		return &LimitError{
			Of: LimitCreates, Max: l.Creates, Now: made, Asked: 1, After: minute.Add(time.Minute).Sub(now),
		}
	}
	q.Minute, q.Creates = minute, made+1
	return nil
}

// CheckBytes returns a *LimitError if so many bytes more would break the limit of what
// is stored.
func (q *Quota) CheckBytes(bytes int64, l Limits) error {
	if now := q.Stored(); l.Bytes > 0 && (bytes > l.Bytes-now || now >= l.Bytes) {
		return &LimitError{Of: LimitBytes, Max: int(l.Bytes), Now: int(now), Asked: int(bytes)}
	}
	return nil
}

// ReserveFile records a file of so many bytes, before it is stored. Reserving it
// again corrects its size. It returns a *LimitError, and changes nothing, if that
// would break the limit of what is stored.
func (q *Quota) ReserveFile(fileID string, bytes int64, now time.Time, l Limits) error {
	if l.Bytes == 0 {
		return nil
	}
	if more := bytes - max(q.Changes[fileID].Bytes, 0); more > 0 {
		if err := q.CheckBytes(more, l); err != nil {
			return err
		}
	}
	q.change(fileID, bytes, now)
	return nil
}

// AddFile records a file that must be stored whatever the limit: the results of
// an accepted batch, or the input of a retry. Without a count there is no
// limit, and nothing is recorded.
func (q *Quota) AddFile(fileID string, bytes int64, now time.Time) {
	if q.Counted() && fileID != "" {
		q.change(fileID, bytes, now)
	}
}

// CancelReservation records that a reserved file was not stored.
func (q *Quota) CancelReservation(fileID string) {
	if q.Changes[fileID].Bytes > 0 {
		q.Changes = maps.Clone(q.Changes)
		delete(q.Changes, fileID)
	}
}

// RemoveFile records that a file of so many bytes was deleted, by whoever deleted its
// record, after q was seen with countedAt. If files were counted since, nobody
// knows whether it was among them: it counts, if so, until the next time. It
// is idempotent.
func (q *Quota) RemoveFile(fileID string, bytes int64, countedAt, now time.Time) {
	c, changed := q.Changes[fileID]
	switch {
	case c.Bytes > 0: // not counted yet
		q.change(fileID, 0, now)
	case !changed && q.Counted() && q.CountedAt.Equal(countedAt):
		q.change(fileID, -bytes, now)
	}
}

func (q *Quota) change(fileID string, bytes int64, now time.Time) {
	if _, there := q.Changes[fileID]; !there && len(q.Changes) >= MaxStoredChanges {
		return
	}
	if q.Changes = maps.Clone(q.Changes); q.Changes == nil {
		q.Changes = map[string]StoredChange{}
	}
	q.Changes[fileID] = StoredChange{Bytes: bytes, At: now.Unix()}
}

// OpenUpload records an upload of so many bytes, which count from now on. It
// returns a *LimitError, and changes nothing, if that would break a limit.
func (q *Quota) OpenUpload(uploadID string, bytes int64, l Limits) error {
	if l.Uploads == 0 && l.Bytes == 0 {
		return nil
	}
	if _, there := q.Uploads[uploadID]; there {
		return nil
	}
	most := MaxOpenUploads
	if l.Uploads > 0 {
		most = min(most, l.Uploads)
	}
	if n := len(q.Uploads); n >= most {
		return &LimitError{Of: LimitUploads, Max: most, Now: n, Asked: 1}
	}
	if err := q.CheckBytes(bytes, l); err != nil {
		return err
	}
	if q.Uploads = maps.Clone(q.Uploads); q.Uploads == nil {
		q.Uploads = map[string]int64{}
	}
	q.Uploads[uploadID] = bytes
	return nil
}

// CloseUpload records that an upload is open no more. It is idempotent.
func (q *Quota) CloseUpload(uploadID string) {
	if _, there := q.Uploads[uploadID]; there {
		q.Uploads = maps.Clone(q.Uploads)
		delete(q.Uploads, uploadID)
	}
}

// Recount records what files there are, as they were read after q was seen with
// countedAt. A change that they show is forgotten, and one that is too old to be
// shown any more; others stay. If others have counted since, it changes nothing.
func (q *Quota) Recount(files map[string]int64, countedAt, now time.Time) {
	if !q.CountedAt.Equal(countedAt) {
		return
	}
	q.FileBytes, q.CountedAt = 0, now
	for bytes := range maps.Values(files) {
		q.FileBytes += bytes
	}
	changes := map[string]StoredChange{}
	for id, c := range q.Changes {
		bytes, there := files[id]
		young := now.Unix()-c.At < int64(reservationLife/time.Second)
		switch {
		case c.Bytes > 0 && !there && young: // on its way
			changes[id] = c
		case c.Bytes <= 0 && (there || young): // deleted after it was read; or a late deletion comes yet
			changes[id] = StoredChange{Bytes: -bytes, At: c.At}
		}
	}
	q.Changes = changes
}
