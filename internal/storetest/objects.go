package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/musketry/musketry/internal/batch"
)

// part is the smallest part but the last, 5 MiB.
const part = 5 << 20

// Objects is what [RunFiles] tries.
type Objects interface {
	Reader
	Writer
	Parts
}

// Reader reads objects.
type Reader interface {
	Read(ctx context.Context, key string, offset, length int64) ([]byte, error)
	Open(ctx context.Context, key string, offset int64) (io.ReadCloser, error)
	Size(ctx context.Context, key string) (int64, error)
	Holds(ctx context.Context, key string, body []byte) (bool, error)
	List(ctx context.Context, prefix string) ([]batch.Stored, error)
}

// Writer writes and deletes objects.
type Writer interface {
	Put(ctx context.Context, key string, body []byte) error
	PutNew(ctx context.Context, key string, body []byte) error
	Delete(ctx context.Context, key string) error
	DeleteAll(ctx context.Context, prefix string) error
}

// Parts writes objects in parts.
type Parts interface {
	StartParts(ctx context.Context, key string) (string, error)
	PutPart(ctx context.Context, key, uploadID string, n int, body []byte) (string, error)
	FinishParts(ctx context.Context, key, uploadID string, sums []string) error
	AbortParts(ctx context.Context, key, uploadID string) error
}

// RunFiles tries the store of bytes that open returns. The trials name
// everything anew, so open may return one store to all of them.
func RunFiles(t *testing.T, open func(*testing.T) Objects) {
	t.Helper()
	runAll(t, open, []trial[Objects]{
		{"Read/any range", readRanges},
		{"Read/what is not there", readAbsent},
		{"Read/shares no memory", readAliases},
		{"Put/in place of what was there", putAgain},
		{"Put/an empty object", putEmpty},
		{"PutNew/never in place of what was there", putNew},
		{"PutNew/one of many", putNewRace},
		{"Open/from any byte", openRanges},
		{"Open/ends with its context", openCanceled},
		{"List/by prefix, more than a page", listMany},
		{"Holds/what was put whole", holds},
		{"Delete/twice", deleteTwice},
		{"DeleteAll/by prefix", deleteAll},
		{"DeleteAll/more than a page", deleteMany},
		{"Parts/one object, in order", partsWhole},
		{"Parts/put again, finished again", partsAgain},
		{"Parts/each put by two", partsOfTwo},
		{"Parts/more than a page", partsMany},
		{"Parts/two uploads at once", partsTwo},
		{"Parts/never in place of what was there", partsNew},
		{"Parts/one of many", partsRace},
		{"Parts/aborted", partsAborted},
		{"Parts/refused", partsRefused},
		{"Canceled context", objectsCanceled},
	})
}

// random returns n bytes unlike any others.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return b
}

// wantObject ends the test unless the object is body.
func wantObject(t *testing.T, s Objects, key string, body []byte) {
	t.Helper()
	size, err := s.Size(t.Context(), key)
	ok(t, err)
	same(t, "size", size, int64(len(body)))
	got, err := s.Read(t.Context(), key, 0, size)
	ok(t, err)
	if !bytes.Equal(got, body) {
		t.Fatalf("%s is not what was put", key)
	}
}

// wantAbsent ends the test unless there is no such object.
func wantAbsent(t *testing.T, s Objects, key string) {
	t.Helper()
	_, err := s.Size(t.Context(), key)
	wantErr(t, err, batch.ErrNoObject)
	_, err = s.Read(t.Context(), key, 0, 1)
	wantErr(t, err, batch.ErrNoObject)
	_, err = s.Read(t.Context(), key, 0, 0)
	wantErr(t, err, batch.ErrNoObject)
	for _, offset := range []int64{0, 1} {
		_, err = s.Open(t.Context(), key, offset)
		wantErr(t, err, batch.ErrNoObject)
	}
}

func readRanges(t *testing.T, s Objects) {
	key, body := unique("tenants/a b/ü#?&+%2F/"), random(1000)
	ok(t, s.Put(t.Context(), key, body))
	wantObject(t, s, key, body)
	for _, r := range [][2]int64{{0, 1}, {0, 1000}, {999, 1}, {500, 250}, {1, 999}, {0, 0}, {500, 0}, {1000, 0}} {
		got, err := s.Read(t.Context(), key, r[0], r[1])
		ok(t, err)
		if !bytes.Equal(got, body[r[0]:r[0]+r[1]]) {
			t.Fatalf("%d bytes from %d are not what was put", r[1], r[0])
		}
	}
	for _, r := range [][2]int64{{0, 1001}, {999, 2}, {1000, 1}, {5000, 1}, {1001, 0}} {
		_, err := s.Read(t.Context(), key, r[0], r[1])
		wantErr(t, err, io.ErrUnexpectedEOF)
	}
	for _, r := range [][2]int64{{-1, 1}, {0, -1}} {
		if _, err := s.Read(t.Context(), key, r[0], r[1]); err == nil {
			t.Fatalf("%d bytes from %d were read", r[1], r[0])
		}
	}
}

func readAbsent(t *testing.T, s Objects) {
	key := unique("k/")
	ok(t, s.Put(t.Context(), key+"1", []byte("x")))
	wantAbsent(t, s, key)
}

func readAliases(t *testing.T, s Objects) {
	key, body := unique("k/"), random(100)
	want := bytes.Clone(body)
	ok(t, s.Put(t.Context(), key, body))
	clear(body)
	got, err := s.Read(t.Context(), key, 0, 100)
	ok(t, err)
	clear(got)
	wantObject(t, s, key, want)
}

func putAgain(t *testing.T, s Objects) {
	key := unique("k/")
	for n := range 3 {
		body := random(100 - n)
		ok(t, s.Put(t.Context(), key, body))
		wantObject(t, s, key, body)
	}
}

func putNew(t *testing.T, s Objects) {
	key, body := unique("k/"), random(100)
	for range 2 { // the same once more, as after an answer that was lost
		ok(t, s.PutNew(t.Context(), key, body))
		wantObject(t, s, key, body)
	}
	for _, other := range [][]byte{random(100), body[:99], nil} {
		wantErr(t, s.PutNew(t.Context(), key, other), batch.ErrExists)
		wantObject(t, s, key, body)
	}
	ok(t, s.Delete(t.Context(), key))
	ok(t, s.PutNew(t.Context(), key, nil))
	wantObject(t, s, key, []byte{})
}

// putNewRace has many put one object at once, each with bytes of its own.
func putNewRace(t *testing.T, s Objects) {
	key := unique("k/")
	oneOf(t, s, key, atOnce(racers, func(i int) error { return s.PutNew(t.Context(), key, own(i)) }))
}

func putEmpty(t *testing.T, s Objects) {
	key := unique("k/")
	ok(t, s.Put(t.Context(), key, nil))
	wantObject(t, s, key, []byte{})
	r, err := s.Open(t.Context(), key, 0)
	ok(t, err)
	got, err := io.ReadAll(r)
	ok(t, errors.Join(err, r.Close()))
	same(t, "bytes", len(got), 0)
}

func openRanges(t *testing.T, s Objects) {
	key, body := unique("k/"), random(3<<20)
	ok(t, s.Put(t.Context(), key, body))
	for _, offset := range []int{0, 1, 1 << 20, len(body) - 1, len(body)} {
		r, err := s.Open(t.Context(), key, int64(offset))
		ok(t, err)
		got, err := io.ReadAll(r)
		ok(t, errors.Join(err, r.Close()))
		if !bytes.Equal(got, body[offset:]) {
			t.Fatalf("%d bytes from %d, not what was put", len(got), offset)
		}
	}
	_, err := s.Open(t.Context(), key, int64(len(body)+1))
	wantErr(t, err, io.ErrUnexpectedEOF)
	if _, err := s.Open(t.Context(), key, -1); err == nil {
		t.Fatalf("opened before the first byte")
	}
}

func openCanceled(t *testing.T, s Objects) {
	key := unique("k/")
	ok(t, s.Put(t.Context(), key, random(8<<20)))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := s.Open(ctx, key, 0)
	ok(t, err)
	_, err = io.ReadFull(r, make([]byte, 100))
	ok(t, err)
	cancel()
	_, err = io.Copy(io.Discard, r)
	wantErr(t, err, context.Canceled)
	ok(t, r.Close())
}

func deleteTwice(t *testing.T, s Objects) {
	key := unique("k/")
	ok(t, s.Put(t.Context(), key, []byte("x")))
	for range 2 {
		ok(t, s.Delete(t.Context(), key))
		wantAbsent(t, s, key)
	}
}

func deleteAll(t *testing.T, s Objects) {
	prefix := unique("batches/")
	for _, name := range []string{"/a", "/b/c", "/b/<&>", "0"} {
		ok(t, s.Put(t.Context(), prefix+name, []byte("x")))
	}
	for range 2 {
		ok(t, s.DeleteAll(t.Context(), prefix+"/"))
	}
	for _, name := range []string{"/a", "/b/c", "/b/<&>"} {
		wantAbsent(t, s, prefix+name)
	}
	wantObject(t, s, prefix+"0", []byte("x"))
	if s.DeleteAll(t.Context(), "") == nil {
		t.Fatalf("everything was deleted")
	}
}

func deleteMany(t *testing.T, s Objects) {
	const n = 1100
	prefix := unique("batches/") + "/"
	key := func(i int) string { return fmt.Sprintf("%s%04d", prefix, i) }
	ok(t, errors.Join(atOnce(8, func(i int) error {
		for ; i < n; i += 8 {
			if err := s.Put(t.Context(), key(i), nil); err != nil {
				return err
			}
		}
		return nil
	})...))
	ok(t, s.DeleteAll(t.Context(), prefix))
	for _, i := range []int{0, 999, 1000, n - 1} {
		wantAbsent(t, s, key(i))
	}
}

func listMany(t *testing.T, s Objects) {
	const n = 1003
	prefix := unique("uploads/") + "/"
	key := func(i int) string { return fmt.Sprintf("%s%04d", prefix, i) }
	want := make([]batch.Stored, n)
	ok(t, errors.Join(atOnce(8, func(i int) error {
		for ; i < n; i += 8 {
			want[i] = batch.Stored{Key: key(i), Bytes: int64(i % 7)}
			if err := s.Put(t.Context(), key(i), []byte(strings.Repeat("x", i%7))); err != nil {
				return err
			}
		}
		return nil
	})...))
	got, err := s.List(t.Context(), prefix)
	ok(t, err)
	same(t, "objects", got, want)
	got, err = s.List(t.Context(), prefix+"0999")
	ok(t, err)
	same(t, "objects", got, want[999:1000])
	got, err = s.List(t.Context(), prefix+"x")
	ok(t, err)
	same(t, "objects", len(got), 0)
	if _, err := s.List(t.Context(), ""); err == nil {
		t.Fatalf("everything was listed")
	}
	ok(t, s.DeleteAll(t.Context(), prefix))
}

// put uploads parts from the last to the first and returns their sums.
func put(t *testing.T, s Objects, key, id string, parts ...[]byte) []string {
	t.Helper()
	sums := make([]string, len(parts))
	for i := len(parts) - 1; i >= 0; i-- {
		var err error
		sums[i], err = s.PutPart(t.Context(), key, id, i+1, parts[i])
		ok(t, err)
	}
	return sums
}

// begin starts an upload.
func begin(t *testing.T, s Objects, key string) string {
	t.Helper()
	id, err := s.StartParts(t.Context(), key)
	ok(t, err)
	return id
}

func partsWhole(t *testing.T, s Objects) {
	key, a, b, c := unique("k/"), random(part), random(part+1), random(3)
	id := begin(t, s, key)
	sums := put(t, s, key, id, a, b, c)
	wantAbsent(t, s, key)
	ok(t, s.FinishParts(t.Context(), key, id, sums))
	wantObject(t, s, key, slices.Concat(a, b, c))
	got, err := s.Read(t.Context(), key, part-2, 4)
	ok(t, err)
	if !bytes.Equal(got, slices.Concat(a[part-2:], b[:2])) {
		t.Fatalf("a range over two parts is not what was put")
	}
}

func partsAgain(t *testing.T, s Objects) {
	key, body := unique("k/"), random(3)
	id := begin(t, s, key)
	put(t, s, key, id, random(7))
	sums := put(t, s, key, id, body)
	for range 2 {
		ok(t, s.FinishParts(t.Context(), key, id, sums))
		wantObject(t, s, key, body)
	}
	ok(t, s.AbortParts(t.Context(), key, id))
	wantObject(t, s, key, body)
}

// partsOfTwo has two put each part of one upload, and both finish it: each knows
// only what it was told.
func partsOfTwo(t *testing.T, s Objects) {
	key, a, b := unique("k/"), random(part), random(3)
	id := begin(t, s, key)
	first := put(t, s, key, id, a, b)
	second := put(t, s, key, id, a, b)
	same(t, "sums", first, second)
	ok(t, s.FinishParts(t.Context(), key, id, first))
	wantObject(t, s, key, slices.Concat(a, b))
	ok(t, s.FinishParts(t.Context(), key, id, second))
	wantObject(t, s, key, slices.Concat(a, b))
}

// partsMany refuses parts beyond the first page of them for what they have, not
// for where they stand: nearly all are too small to be joined.
func partsMany(t *testing.T, s Objects) {
	const n = 1001
	key := unique("k/")
	id, sums := begin(t, s, key), make([]string, n)
	ok(t, errors.Join(atOnce(8, func(i int) (err error) {
		for ; i < n && err == nil; i += 8 {
			sums[i], err = s.PutPart(t.Context(), key, id, i+1, own(i))
		}
		return err
	})...))
	sums[n-1] = sums[0]
	if s.FinishParts(t.Context(), key, id, sums) == nil {
		t.Fatalf("finished with another part %d", n)
	}
	ok(t, s.AbortParts(t.Context(), key, id))
}

func holds(t *testing.T, s Objects) {
	key, body := unique("k/"), random(100)
	_, err := s.Holds(t.Context(), key, body)
	wantErr(t, err, batch.ErrNoObject)
	for range 2 { // under KMS the same bytes have another tag each time
		ok(t, s.Put(t.Context(), key, body))
		for _, tc := range []struct {
			body []byte
			want bool
		}{{body, true}, {body[:99], false}, {random(100), false}, {nil, false}} {
			got, err := s.Holds(t.Context(), key, tc.body)
			ok(t, err)
			same(t, "holds", got, tc.want)
		}
	}
	id, joined := begin(t, s, key+"2"), random(3)
	ok(t, s.FinishParts(t.Context(), key+"2", id, put(t, s, key+"2", id, joined)))
	got, err := s.Holds(t.Context(), key+"2", joined)
	ok(t, err)
	same(t, "holds what was joined", got, false)
}

func partsTwo(t *testing.T, s Objects) {
	key, one, two := unique("k/"), random(3), random(4)
	first, second := begin(t, s, key), begin(t, s, key)
	if first == second {
		t.Fatalf("two uploads have one id")
	}
	sums1, sums2 := put(t, s, key, first, one), put(t, s, key, second, two)
	ok(t, s.FinishParts(t.Context(), key, first, sums1))
	wantObject(t, s, key, one)
	wantErr(t, s.FinishParts(t.Context(), key, second, sums2), batch.ErrExists)
	wantObject(t, s, key, one)
	ok(t, s.FinishParts(t.Context(), key, first, sums1))
	wantObject(t, s, key, one)
	third := begin(t, s, key)
	ok(t, s.FinishParts(t.Context(), key, third, put(t, s, key, third, one)))
	wantObject(t, s, key, one)
}

func partsNew(t *testing.T, s Objects) {
	key, body := unique("k/"), random(100)
	ok(t, s.PutNew(t.Context(), key, body))
	id := begin(t, s, key)
	sums := put(t, s, key, id, random(3))
	for range 2 {
		wantErr(t, s.FinishParts(t.Context(), key, id, sums), batch.ErrExists)
		wantObject(t, s, key, body)
	}
	ok(t, s.AbortParts(t.Context(), key, id))
	ok(t, s.Delete(t.Context(), key))
	id = begin(t, s, key)
	ok(t, s.FinishParts(t.Context(), key, id, put(t, s, key, id, body[:7])))
	wantObject(t, s, key, body[:7])
}

// partsRace has many finish one object at once, each with bytes of its own.
func partsRace(t *testing.T, s Objects) {
	key := unique("k/")
	ids, sums := make([]string, racers), make([][]string, racers)
	for i := range racers {
		ids[i] = begin(t, s, key)
		sums[i] = put(t, s, key, ids[i], own(i))
	}
	oneOf(t, s, key, atOnce(racers, func(i int) error {
		return s.FinishParts(t.Context(), key, ids[i], sums[i])
	}))
}

// oneOf ends the test unless exactly one of the writers, whose number is all
// that it wrote, was first, and the others were told so.
func oneOf(t *testing.T, s Objects, key string, errs []error) {
	t.Helper()
	var won [][]byte
	for i, err := range errs {
		if err == nil {
			won = append(won, own(i))
		} else {
			wantErr(t, err, batch.ErrExists)
		}
	}
	same(t, "winners", len(won), 1)
	wantObject(t, s, key, won[0])
}

// own returns what a writer alone writes.
func own(i int) []byte { return []byte(strconv.Itoa(i)) }

func partsAborted(t *testing.T, s Objects) {
	key := unique("k/")
	id := begin(t, s, key)
	sums := put(t, s, key, id, random(3))
	for range 2 {
		ok(t, s.AbortParts(t.Context(), key, id))
	}
	_, err := s.PutPart(t.Context(), key, id, 2, random(3))
	wantErr(t, err, batch.ErrNoObject)
	wantErr(t, s.FinishParts(t.Context(), key, id, sums), batch.ErrNoObject)
	wantAbsent(t, s, key)
}

func partsRefused(t *testing.T, s Objects) {
	key := unique("k/")
	id := begin(t, s, key)
	sums := put(t, s, key, id, random(3))
	for _, n := range []int{-1, 0, 10_001} {
		if _, err := s.PutPart(t.Context(), key, id, n, nil); err == nil {
			t.Fatalf("part %d was taken", n)
		}
	}
	for _, sums := range [][]string{nil, {"no such sum"}, {sums[0], sums[0]}} {
		if s.FinishParts(t.Context(), key, id, sums) == nil {
			t.Fatalf("finished with parts %q", sums)
		}
	}
	wantAbsent(t, s, key)
	ok(t, s.AbortParts(t.Context(), key, id))
}

func objectsCanceled(t *testing.T, s Objects) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	key := unique("k/")
	wantErr(t, s.Put(ctx, key, nil), context.Canceled)
	_, err := s.Read(ctx, key, 0, 1)
	wantErr(t, err, context.Canceled)
	_, err = s.Open(ctx, key, 0)
	wantErr(t, err, context.Canceled)
	_, err = s.StartParts(ctx, key)
	wantErr(t, err, context.Canceled)
	wantErr(t, s.DeleteAll(ctx, "k/"), context.Canceled)
	wantAbsent(t, s, key)
}
