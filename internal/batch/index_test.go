package batch_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
)

// reads counts what is read of stored bytes.
type reads struct {
	stored []byte
	calls  int
	bytes  int64
}

func (r *reads) read(offset, length int64) ([]byte, error) {
	r.calls++
	r.bytes += length
	if offset < 0 || offset+length > int64(len(r.stored)) {
		return nil, errors.New("out of range")
	}
	return r.stored[offset:][:length], nil
}

// TestIndexFindsEveryLine looks up each custom_id of indexes of many sizes, and
// as many that are not there.
func TestIndexFindsEveryLine(t *testing.T) {
	t.Parallel()
	for _, total := range []int{0, 1, 2, 31, 32, 33, 1_000, 4_000} {
		t.Run(fmt.Sprint(total), func(t *testing.T) {
			t.Parallel()
			var x batch.Index
			for line := 1; line <= total; line++ {
				x.Add(sha256.Sum256(fmt.Append(nil, "id ", line)), line)
			}
			r := &reads{stored: x.Bytes()}
			if got, err := batch.FindLines("nobody's", total, r.read); err != nil || got != nil || total == 0 && r.calls > 0 {
				t.Errorf("nobody's line: found %v, %v, by %d reads", got, err, r.calls)
			}
			r.calls = 0
			for line := 1; line <= total; line++ {
				got, err := batch.FindLines(fmt.Sprint("id ", line), total, r.read)
				if err != nil || !slices.Equal(got, []int{line}) {
					t.Fatalf("line %d: found %v, %v", line, got, err)
				}
				if got, err := batch.FindLines(fmt.Sprint("no ", line), total, r.read); err != nil || got != nil {
					t.Fatalf("no line: found %v, %v", got, err)
				}
			}
			if found := 2 * total; r.calls > found+found/100 {
				t.Errorf("%d reads for %d lookups", r.calls, found)
			}
		})
	}
}

func TestIndexIsReadInSmallRanges(t *testing.T) {
	t.Parallel()
	const total = 100_000
	var x batch.Index
	for line := 1; line <= total; line++ {
		x.Add(sha256.Sum256(fmt.Append(nil, line)), line)
	}
	r := &reads{stored: x.Bytes()}
	if len(r.stored) != 12*total {
		t.Errorf("the index has %d bytes", len(r.stored))
	}
	const lookups = 2_000
	for i := range lookups {
		line := i*(total/lookups) + 1
		if got, err := batch.FindLines(fmt.Sprint(line), total, r.read); err != nil || !slices.Equal(got, []int{line}) {
			t.Fatalf("line %d: found %v, %v", line, got, err)
		}
	}
	if r.calls > lookups+lookups/100 || r.bytes/lookups > 20<<10 {
		t.Errorf("%d reads of %d bytes for %d lookups", r.calls, r.bytes, lookups)
	}
}

// TestIndexIsTheSameInAnyOrder is what lets validation write it again.
func TestIndexIsTheSameInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		ids := rapid.SliceOfDistinct(rapid.String(), rapid.ID[string]).Draw(rt, "ids")
		order := rapid.Permutation(seq(len(ids))).Draw(rt, "order")
		var x, y batch.Index
		for i, id := range ids {
			x.Add(sha256.Sum256([]byte(id)), i+1)
		}
		for _, i := range order {
			y.Add(sha256.Sum256([]byte(ids[i])), i+1)
		}
		if !bytes.Equal(x.Bytes(), y.Bytes()) {
			rt.Fatal("the order of lines changes the index")
		}
		r := &reads{stored: x.Bytes()}
		for i, id := range ids {
			if got, err := batch.FindLines(id, len(ids), r.read); err != nil || !slices.Equal(got, []int{i + 1}) {
				rt.Fatalf("%q: found %v, %v", id, got, err)
			}
		}
	})
}

func seq(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// TestIndexOfUnevenHashes has an index whose hashes lie where they should not:
// the search widens until it is sure.
func TestIndexOfUnevenHashes(t *testing.T) {
	t.Parallel()
	const total = 5_000
	sums := make([][sha256.Size]byte, total)
	for i := range sums {
		sums[i] = sha256.Sum256(fmt.Append(nil, i))
		sums[i][0] = 0xff
	}
	needle := sha256.Sum256([]byte("needle")) // 0x37…: before all of them
	twins := []int{7, 4_000, 4_999}           // custom_ids that share their first 8 bytes
	for _, i := range twins {
		sums[i-1] = needle
		sums[i-1][31]++ // not the same custom_id
	}
	var x batch.Index
	for i, sum := range sums {
		x.Add(sum, i+1)
	}
	r := &reads{stored: x.Bytes()}
	got, err := batch.FindLines("needle", total, r.read)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(twins, got); diff != "" {
		t.Error(diff)
	}
	if r.calls < 2 || r.calls > 8 {
		t.Errorf("%d reads", r.calls)
	}
}

// TestIndexOfEqualHashes has an index all of whose hashes are equal: a page that
// begins or ends with the one that is looked for is not all of them.
func TestIndexOfEqualHashes(t *testing.T) {
	t.Parallel()
	const total = 5_000
	for _, id := range []string{"needle", "handle"} { // 0x09…, which is near the beginning, and 0xc2…, near the end
		var x batch.Index
		for line := 1; line <= total; line++ {
			x.Add(sha256.Sum256([]byte(id)), line)
		}
		got, err := batch.FindLines(id, total, (&reads{stored: x.Bytes()}).read)
		if err != nil || len(got) != total || got[0] != 1 || got[total-1] != total {
			t.Errorf("%s: %d lines are found: %v", id, len(got), err)
		}
	}
}

func TestIndexCutShort(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	if _, err := batch.FindLines("a", 10, func(int64, int64) ([]byte, error) { return nil, down }); !errors.Is(err, down) {
		t.Errorf("error is %v", err)
	}
	_, err := batch.FindLines("a", 10_000, func(_, n int64) ([]byte, error) { return make([]byte, n-1), nil }) // 432 entries
	if err == nil || err.Error() != "batch: 5183 bytes of an index, want 5184" {
		t.Errorf("a page that is cut short: %v", err)
	}
}
