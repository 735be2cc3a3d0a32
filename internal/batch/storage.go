package batch

import (
	"maps"
	"time"
)

const (
	// MaxStoredChanges is how many changes of what is stored a Usage lists: 50
	// KB of DynamoDB's 400. What comes beyond is found when files are counted.
	MaxStoredChanges = 1_000
	// MaxOpenUploads is how many open uploads it lists, some 60 KB.
	MaxOpenUploads = 1_000
	// storedGrace is how long a file that was to be made may be without its
	// record: a call of the API takes at most half a minute, and what is older was
	// left by a crash.
	storedGrace = 10 * time.Minute
)

// A StoredChange is a file that was made, or deleted, since a tenant's files
// were counted.
type StoredChange struct {
	Bytes int64 `json:"b"` // 0 or less: deleted, and so much of what was counted is no more
	At    int64 `json:"t"` // Unix seconds
}

// Stored returns the bytes of u's files and of its open uploads.
func (u *Usage) Stored() int64 {
	sum := u.FileBytes
	for c := range maps.Values(u.Changes) {
		sum += c.Bytes
	}
	for bytes := range maps.Values(u.Uploads) {
		sum += bytes
	}
	return max(sum, 0)
}

// Counted reports whether u's files were ever counted. Before that u knows
// nothing of what is stored.
func (u *Usage) Counted() bool { return !u.CountedAt.IsZero() }

// Create counts a create in the minute of now. It returns a *LimitError, and
// changes nothing, if there were too many.
func (u *Usage) Create(now time.Time, l Limits) error {
	if l.Creates == 0 {
		return nil
	}
	minute, made := now.UTC().Truncate(time.Minute), u.Creates
	if !u.Minute.Equal(minute) {
		made = 0
	}
	if made >= l.Creates {
		return &LimitError{
			Of: LimitCreates, Max: l.Creates, Now: made, Asked: 1, After: minute.Add(time.Minute).Sub(now),
		}
	}
	u.Minute, u.Creates = minute, made+1
	return nil
}

// Room returns a *LimitError if so many bytes more would break the limit of what
// is stored.
func (u *Usage) Room(bytes int64, l Limits) error {
	if now := u.Stored(); l.Bytes > 0 && (bytes > l.Bytes-now || now >= l.Bytes) {
		return &LimitError{Of: LimitBytes, Max: int(l.Bytes), Now: int(now), Asked: int(bytes)}
	}
	return nil
}

// Keep records a file of so many bytes, before it is stored. Keeping it again
// corrects its size. It returns a *LimitError, and changes nothing, if that
// would break the limit of what is stored.
func (u *Usage) Keep(fileID string, bytes int64, now time.Time, l Limits) error {
	if l.Bytes == 0 {
		return nil
	}
	if more := bytes - max(u.Changes[fileID].Bytes, 0); more > 0 {
		if err := u.Room(more, l); err != nil {
			return err
		}
	}
	u.change(fileID, bytes, now)
	return nil
}

// Owe records a file that must be stored whatever the limit: the results of a
// batch that was taken, or the input of a retry. Without a count there is no
// limit, and nothing is recorded.
func (u *Usage) Owe(fileID string, bytes int64, now time.Time) {
	if u.Counted() && fileID != "" {
		u.change(fileID, bytes, now)
	}
}

// Forget records that a file that was to be kept was not stored.
func (u *Usage) Forget(fileID string) {
	if u.Changes[fileID].Bytes > 0 {
		u.Changes = maps.Clone(u.Changes)
		delete(u.Changes, fileID)
	}
}

// Erase records that a file of so many bytes was deleted, by whoever deleted its
// record, after u was seen with countedAt. If files were counted since, nobody
// knows whether it was among them: it counts, if so, until the next time. Erasing
// again changes nothing.
func (u *Usage) Erase(fileID string, bytes int64, countedAt, now time.Time) {
	c, changed := u.Changes[fileID]
	switch {
	case c.Bytes > 0: // not counted yet
		u.change(fileID, 0, now)
	case !changed && u.Counted() && u.CountedAt.Equal(countedAt):
		u.change(fileID, -bytes, now)
	}
}

func (u *Usage) change(fileID string, bytes int64, now time.Time) {
	if _, there := u.Changes[fileID]; !there && len(u.Changes) >= MaxStoredChanges {
		return
	}
	if u.Changes = maps.Clone(u.Changes); u.Changes == nil {
		u.Changes = map[string]StoredChange{}
	}
	u.Changes[fileID] = StoredChange{Bytes: bytes, At: now.Unix()}
}

// OpenUpload records an upload of so many bytes, which count from now on. It
// returns a *LimitError, and changes nothing, if that would break a limit.
func (u *Usage) OpenUpload(uploadID string, bytes int64, l Limits) error {
	if l.Uploads == 0 && l.Bytes == 0 {
		return nil
	}
	if _, there := u.Uploads[uploadID]; there {
		return nil
	}
	most := MaxOpenUploads
	if l.Uploads > 0 {
		most = min(most, l.Uploads)
	}
	if n := len(u.Uploads); n >= most {
		return &LimitError{Of: LimitUploads, Max: most, Now: n, Asked: 1}
	}
	if err := u.Room(bytes, l); err != nil {
		return err
	}
	if u.Uploads = maps.Clone(u.Uploads); u.Uploads == nil {
		u.Uploads = map[string]int64{}
	}
	u.Uploads[uploadID] = bytes
	return nil
}

// CloseUpload records that an upload is open no more. Closing again changes
// nothing.
func (u *Usage) CloseUpload(uploadID string) {
	if _, there := u.Uploads[uploadID]; there {
		u.Uploads = maps.Clone(u.Uploads)
		delete(u.Uploads, uploadID)
	}
}

// Recount records what files there are, as they were read after u was seen with
// countedAt. A change that they show is forgotten, and one that is too old to be
// shown any more; others stay. If others have counted since, it changes nothing.
func (u *Usage) Recount(files map[string]int64, countedAt, now time.Time) {
	if !u.CountedAt.Equal(countedAt) {
		return
	}
	u.FileBytes, u.CountedAt = 0, now
	for bytes := range maps.Values(files) {
		u.FileBytes += bytes
	}
	changes := map[string]StoredChange{}
	for id, c := range u.Changes {
		bytes, there := files[id]
		young := now.Unix()-c.At < int64(storedGrace/time.Second)
		switch {
		case c.Bytes > 0 && !there && young: // on its way
			changes[id] = c
		case c.Bytes <= 0 && (there || young): // deleted after it was read; or a late deletion comes yet
			changes[id] = StoredChange{Bytes: -bytes, At: c.At}
		}
	}
	u.Changes = changes
}
