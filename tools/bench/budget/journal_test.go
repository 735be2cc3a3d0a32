package budget_test

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/dynamostore"
)

// dying is a table of a worker that dies before some of its entries.
type dying struct {
	*table

	dies func() bool
}

func (d dying) PutItem(
	ctx context.Context, in *dynamodb.PutItemInput, opts ...func(*dynamodb.Options),
) (*dynamodb.PutItemOutput, error) {
	if d.dies() {
		return nil, errors.New("dead")
	}
	return d.table.PutItem(ctx, in, opts...)
}

const (
	committers, commits, answers = 500, 10, 25
	journaled                    = "batch_a"
)

// A fleet are workers that commit the answers of one batch, once a second each.
type fleet struct {
	*testing.T

	table  *table
	deaths float64 // what part of them dies before an entry

	mu      sync.Mutex
	added   map[string]int // by segment, the number that it was told
	dead    int
	slowest time.Duration
}

func (f *fleet) open(api dynamostore.API) *dynamostore.Store {
	f.Helper()
	s, err := dynamostore.New(api, dynamostore.Config{Table: "table", Now: time.Now, Retention: batch.Retention})
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// work has worker w commit.
func (f *fleet) work(w int) {
	dies := false
	s := f.open(dying{f.table, func() bool { return dies }})
	time.Sleep(time.Duration(mathrand.Int64N(int64(time.Second))))
	for n := range commits {
		dies = mathrand.Float64() < f.deaths
		e := batch.Entry{Segment: fmt.Sprintf("segment-of-worker-%d-%d", w, n)}
		for i := range answers {
			e.Spans = append(e.Spans, batch.LineSpan{Line: (w*commits+n)*answers + i + 1, Offset: int64(i) * 2000, Length: 2000})
		}
		at := time.Now()
		number, err := s.AppendJournal(f.Context(), journaled, e)
		f.appended(e.Segment, number, time.Since(at), err, dies)
		time.Sleep(time.Second - time.Since(at))
	}
}

func (f *fleet) appended(segment string, number int, took time.Duration, err error, dies bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slowest = max(f.slowest, took)
	switch {
	case err == nil:
		f.added[segment] = number
	case dies:
		f.dead++
	default:
		f.Error(err)
	}
}

// TestJournalTakesTwelveThousandAnswers has 500 workers commit 25 answers of one batch a second, each at a time of its
// own, while others read: none gives up or falls behind, each entry is there once, and whoever reads along gets what is
// there in the end. Of a second kind of workers one in fifty dies before an entry.
func TestJournalTakesTwelveThousandAnswers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	for name, deaths := range map[string]float64{"all live": 0, "some die": 0.02} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &meter{calls: map[string]int{}}
				f := &fleet{T: t, table: newTable(m), deaths: deaths, added: map[string]int{}}
				var all, readers sync.WaitGroup
				for w := range committers {
					all.Go(func() { f.work(w) })
				}
				read := make([][]batch.Entry, 2)
				for i := range read {
					readers.Go(func() { read[i] = f.follow() })
				}
				all.Wait()
				if _, err := f.open(f.table).AppendJournal(t.Context(), journaled, batch.Entry{Closed: true}); err != nil {
					t.Error(err)
				}
				readers.Wait()
				f.compare(read)
				if f.slowest > 100*time.Millisecond {
					t.Errorf("an append took %v", f.slowest)
				}
				n := float64(committers * commits)
				t.Logf("%d entries, %d died; the slowest append took %v; %.2f write units in %.2f calls, and %.2f read units an entry",
					len(f.added), f.dead, f.slowest, m.units.Writes/n, float64(m.calls["DynamoDB.UpdateItem"]+m.calls["DynamoDB.PutItem"])/n,
					m.units.Reads/n)
			})
		})
	}
}

// compare holds what was read along, and what the workers were told, against the journal.
func (f *fleet) compare(read [][]batch.Entry) {
	whole, err := f.open(f.table).Journal(f.Context(), journaled, 0, 1_000_000)
	if err != nil {
		f.Fatal(err)
	}
	found := map[string]int{}
	for i, e := range whole {
		if e.N != i+1 {
			f.Fatalf("entry %d is in place %d", e.N, i+1)
		}
		if e.Segment != "" {
			found[e.Segment] = e.N
		}
	}
	if diff := cmp.Diff(f.added, found); diff != "" || len(f.added)+f.dead != committers*commits {
		f.Errorf("%d were added and %d died; told and found (-want +got):\n%s", len(f.added), f.dead, diff)
	}
	for i, entries := range read {
		if diff := cmp.Diff(whole, entries); diff != "" {
			f.Errorf("reader %d (-want +got):\n%s", i, diff)
		}
	}
}

// follow reads the journal along, once a second, until it has its closing entry.
func (f *fleet) follow() []batch.Entry {
	s := f.open(f.table)
	var all []batch.Entry
	for range 10 * commits {
		page, err := s.Journal(f.Context(), journaled, len(all), 1_000)
		if err != nil {
			f.Error(err)
		}
		all = append(all, page...)
		if len(all) > 0 && all[len(all)-1].Closed {
			break
		}
		time.Sleep(time.Second)
	}
	return all
}
