package api

import (
	"context"
	"log/slog"
	"time"

	"github.com/musketry/musketry/internal/tenant"
)

const (
	// notePatience is how long the first call of a day with a key may take longer
	// for its being noted.
	notePatience = time.Second
	// noteAgain is how long after a failure it is tried again.
	noteAgain = time.Minute
)

// A note is what this process knows of a key's use being noted.
type note struct {
	day  time.Time
	done bool      // it stands in the store
	at   time.Time // when it was tried
}

// noteUse notes that a key is used today, unless this process has done so: a write a
// day, a key and a process, of which all but the first leave the record as it is. Its
// failure is the log's alone.
func (a *api) noteUse(ctx context.Context, k tenant.Key) {
	now := a.Clock()
	if !a.keys.turnToNote(k.Hash, now) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, notePatience)
	defer cancel()
	if err := a.Keys.NoteKeyUse(ctx, tenant.KeyUse{Tenant: k.Tenant, Hash: k.Hash, Day: tenant.Day(now)}); err != nil {
		a.Logger.LogAttrs(ctx, slog.LevelWarn, "key use not noted", slog.String("tenant", k.Tenant),
			slog.String("key_hash", k.Hash[:min(len(k.Hash), shownHash)]), slog.String("error", err.Error()))
		return
	}
	a.keys.noted(k.Hash, now)
}

// turnToNote reports whether the caller is to note a key's use today: one at a time,
// and once a minute while it fails.
func (k *keyring) turnToNote(hash string, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	today := tenant.Day(now)
	n, known := k.notes[hash]
	if known && n.day.Equal(today) && (n.done || now.Sub(n.at) < noteAgain) {
		return false
	}
	if !known && len(k.notes) >= cachedKeys {
		clear(k.notes) // costs a write a key
	}
	k.notes[hash] = note{day: today, at: now}
	return true
}

func (k *keyring) noted(hash string, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.notes[hash] = note{day: tenant.Day(now), done: true, at: now}
}

// lastUse returns the day on which a key's use was last noted; the zero time if this
// process knows of none.
func (k *keyring) lastUse(hash string) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := k.notes[hash]; n.done {
		return n.day
	}
	return time.Time{}
}
