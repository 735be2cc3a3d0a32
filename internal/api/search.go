package api

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// longestSearch is the longest search in characters: no custom_id is longer.
	longestSearch = batch.MaxCustomID
	// mostLooked is how many batches one call looks through for those that a
	// filter lets pass: some 600 KB, and for a search a file's record each.
	mostLooked = 200
	// fewestRead is how many are read at once, unless a page is to have more.
	fewestRead = 50
	// namesAtOnce is how many files' records are read at once.
	namesAtOnce = 10
)

// search reads what is searched for; empty if nothing is.
func search(values url.Values) (string, error) {
	text := values.Get("search")
	if n := utf8.RuneCountInString(text); n > longestSearch {
		return "", badRequest("search", "string_above_max_length",
			"Invalid 'search': expected at most %d characters, but got %d.", longestSearch, n)
	}
	return text, nil
}

// A batchFilter says which batches are wanted. Its zero value wants all.
type batchFilter struct {
	status batch.Status
	search string // in the id, the metadata or the input file's name, in upper or lower case
}

func readBatchFilter(values url.Values) (batchFilter, error) {
	f := batchFilter{status: batch.Status(values.Get("status"))}
	if known := batch.Statuses(); f.status != "" && !slices.Contains(known, f.status) {
		names := make([]string, len(known))
		for i, s := range known {
			names[i] = string(s)
		}
		return f, badRequest("status", batch.CodeInvalidValue,
			"Invalid value: '%s'. Supported values are: %s.", clip(string(f.status)), quoted(names))
	}
	var err error
	f.search, err = search(values)
	return f, err
}

// mentions reports whether b itself has what f searches for.
func (f batchFilter) mentions(b batch.Batch) bool {
	if batch.Mentions(b.ID, f.search) {
		return true
	}
	for key, value := range b.Metadata {
		if batch.Mentions(key, f.search) || batch.Mentions(value, f.search) {
			return true
		}
	}
	return false
}

// findBatches returns a page of the batches that f wants, the id of the last one
// that it looked at, and whether there may be more behind that. It looks through
// mostLooked at most, so a page may be short, or empty, with more behind it.
func (a *api) findBatches(
	ctx context.Context, tenant string, p page, f batchFilter,
) (found []batch.Batch, last string, more bool, _ error) {
	last = p.After
	for looked := 0; looked < mostLooked; {
		read, behind, err := a.Batches.Batches(ctx, tenant, last, min(max(p.Limit, fewestRead), mostLooked-looked))
		if err != nil {
			return nil, "", false, fmt.Errorf("api: list batches: %w", err)
		}
		picked, n, err := a.pick(ctx, read, f, p.Limit-len(found))
		if err != nil {
			return nil, "", false, err
		}
		if found, looked = append(found, picked...), looked+n; n > 0 {
			last = read[n-1].ID
		}
		if len(found) == p.Limit || !behind || n == 0 {
			return found, last, behind && n > 0 || n < len(read), nil
		}
	}
	return found, last, true, nil
}

// pick returns the first of read that f wants, most at most, and how many it has
// looked at for that.
func (a *api) pick(ctx context.Context, read []batch.Batch, f batchFilter, most int) (picked []batch.Batch, looked int, _ error) {
	for some := range slices.Chunk(read, namesAtOnce) {
		wanted, err := a.wanted(ctx, some, f)
		if err != nil {
			return nil, 0, err
		}
		for i, b := range some {
			if looked++; wanted[i] {
				picked = append(picked, b)
			}
			if len(picked) == most {
				return picked, looked, nil
			}
		}
	}
	return picked, looked, nil
}

// wanted reports of each of some batches, namesAtOnce at most, whether f wants it.
func (a *api) wanted(ctx context.Context, some []batch.Batch, f batchFilter) ([]bool, error) {
	wanted := make([]bool, len(some))
	group, ctx := errgroup.WithContext(ctx)
	for i, b := range some {
		if !a.shown(b) || f.status != "" && b.Status != f.status {
			continue
		}
		if wanted[i] = f.mentions(b); wanted[i] {
			continue
		}
		group.Go(func() error {
			file, err := a.Files.File(ctx, b.Tenant, b.InputFileID)
			if err != nil && !errors.Is(err, batch.ErrNotFound) {
				return fmt.Errorf("api: read an input file's name: %w", err)
			}
			wanted[i] = err == nil && !file.Expired(a.Clock()) && batch.Mentions(file.Name, f.search)
			return nil
		})
	}
	return wanted, group.Wait()
}
