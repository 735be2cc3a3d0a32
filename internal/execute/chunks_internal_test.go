package execute

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// slowFiles are files whose bytes follow from where they lie, and whose reads
// take 20 ms. They count what is read.
type slowFiles struct {
	t     *testing.T
	size  int64
	reads atomic.Int64
	now   atomic.Int64 // reads of chunks that are not over
	fail  atomic.Int64 // reads that fail from now on
}

func (f *slowFiles) Read(_ context.Context, _ string, offset, length int64) ([]byte, error) {
	f.reads.Add(1)
	if offset+length > f.size {
		f.t.Errorf("%d bytes are read from %d of %d", length, offset, f.size)
	}
	if length == chunkBytes {
		if now := f.now.Add(1); now > mostChunks {
			f.t.Errorf("%d chunks are read at once", now)
		}
		defer f.now.Add(-1)
	}
	time.Sleep(20 * time.Millisecond)
	if f.fail.Add(-1) >= 0 {
		return nil, errors.New("not now")
	}
	return bytesAt(offset, length), nil
}

func (*slowFiles) Put(context.Context, string, []byte) error { return nil }

// bytesAt returns what a file has at offset: noise that comes again after about
// a chunk, though not after one.
func bytesAt(offset, length int64) []byte {
	const period = chunkBytes - 3
	noise := noise()
	return bytes.Clone(noise[offset%period : offset%period+length])
}

var noise = sync.OnceValue(func() []byte {
	half := make([]byte, chunkBytes-3)
	_, _ = rand.NewChaCha8([32]byte{}).Read(half)
	return slices.Concat(half, half, half)
})

// extents returns where lines lie that follow one another.
func extents(n int, length func() int64) (lines []batch.Extent, size int64) {
	for range n {
		e := batch.Extent{Key: "in", Offset: size, Length: length()}
		lines = append(lines, e)
		size += e.Length + 1
	}
	return lines, size
}

// readAll reads lines, 250 at once, and checks what comes.
func readAll(t *testing.T, c *chunks, lines []batch.Extent, size int64) {
	t.Helper()
	var readers sync.WaitGroup
	next := make(chan batch.Extent)
	for range 250 {
		readers.Go(func() {
			for e := range next {
				line, err := c.line(e, size)
				if err != nil || !bytes.Equal(line, bytesAt(e.Offset, e.Length)) {
					t.Errorf("the line at %+v is wrong, or %v", e, err)
				}
				c.mu.Lock()
				if len(c.known) > mostChunks {
					t.Errorf("%d chunks are kept", len(c.known))
				}
				c.mu.Unlock()
			}
		})
	}
	for _, e := range lines {
		next <- e
	}
	close(next)
	readers.Wait()
}

func testChunks(t *testing.T, f Files) *chunks {
	t.Helper()
	k := kit{ctx: t.Context(), clock: time.Now, uniform: func() float64 { return 0 }, log: slog.New(slog.DiscardHandler)}
	return newChunks(t.Context(), k, f)
}

// TestChunksAreReadOnce asks for the lines of a file as a queue hands them out:
// those that are enqueued at a time in any order.
func TestChunksAreReadOnce(t *testing.T) {
	t.Parallel()
	const window = 10_000
	for name, tc := range map[string]struct {
		lines  int
		length func(*rand.Rand) int64
		most   float64 // reads a line
	}{
		"one window":        {10_000, func(r *rand.Rand) int64 { return 1000 + r.Int64N(1000) }, 0.0016},
		"several windows":   {50_000, func(r *rand.Rand) int64 { return 1000 + r.Int64N(1000) }, 0.0025},
		"half of them long": {500, func(r *rand.Rand) int64 { return r.Int64N(2 * longLine) }, 0.6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(7, 7))
				lines, size := extents(tc.lines, func() int64 { return tc.length(r) })
				for of := range slices.Chunk(lines, window) {
					r.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
				}
				f := &slowFiles{t: t, size: size}
				readAll(t, testChunks(t, f), lines, size)
				if got := float64(f.reads.Load()) / float64(tc.lines); got > tc.most {
					t.Errorf("%.4f reads a line, want at most %.4f", got, tc.most)
				}
			})
		})
	}
}

// TestChunksInUseAreKept has more chunks asked for at once than are kept.
func TestChunksInUseAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const chunksOf = 3 * mostChunks
		var lines []batch.Extent
		for i := range int64(2 * chunksOf) { // every other one crosses into the next chunk
			lines = append(lines, batch.Extent{Key: "in", Offset: (i+1)*chunkBytes/2 - 50, Length: 100})
		}
		lines = lines[:len(lines)-1]
		f := &slowFiles{t: t, size: chunksOf * chunkBytes}
		readAll(t, testChunks(t, f), lines, f.size)
	})
}

// TestChunkThatCannotBeRead is read again by whoever comes next.
func TestChunkThatCannotBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &slowFiles{t: t, size: 1000}
		f.fail.Store(tries)
		c := testChunks(t, f)
		var readers sync.WaitGroup
		for i := range int64(5) {
			readers.Go(func() {
				if _, err := c.line(batch.Extent{Key: "in", Offset: 100 * i, Length: 99}, f.size); err == nil {
					t.Error("the line is there")
				}
			})
		}
		readers.Wait()
		if got := f.reads.Load(); got != tries {
			t.Errorf("%d reads, want the %d of the first", got, tries)
		}
		if _, err := c.line(batch.Extent{Key: "in", Offset: 0, Length: 99}, f.size); err != nil {
			t.Errorf("the next one: %v", err)
		}
	})
}

// TestWaitForAChunkEndsWithTheCalls has nobody leave a chunk.
func TestWaitForAChunkEndsWithTheCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls, stop := context.WithCancelCause(t.Context())
		f := &slowFiles{t: t, size: 1 << 40}
		c := testChunks(t, f)
		c.calls = calls
		for i := range int64(mostChunks) {
			if _, _, err := c.take(batch.Extent{Key: "in", Offset: i * chunkBytes, Length: chunkBytes}); err != nil {
				t.Fatal(err)
			}
		}
		time.AfterFunc(time.Minute, func() { stop(end(causeWorkerStopping)) })
		_, err := c.line(batch.Extent{Key: "in", Offset: mostChunks * chunkBytes, Length: 100}, f.size)
		if !isCause(err, causeWorkerStopping) {
			t.Errorf("got %v", err)
		}
	})
}

// TestTheLastLinesShareAChunk demands that what ends with the file is no line by
// itself, and that one which is claimed to lie beyond is.
func TestTheLastLinesShareAChunk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &slowFiles{t: t, size: 200}
		c := testChunks(t, f)
		for _, e := range []batch.Extent{{Key: "in", Offset: 0, Length: 99}, {Key: "in", Offset: 100, Length: 100}} {
			if line, err := c.line(e, f.size); err != nil || !bytes.Equal(line, bytesAt(e.Offset, e.Length)) {
				t.Errorf("the line at %+v is wrong, or %v", e, err)
			}
		}
		if got := f.reads.Load(); got != 1 {
			t.Errorf("%d reads of 200 bytes, want 1", got)
		}
		long := batch.Extent{Key: "in", Offset: 0, Length: longLine}
		f.size = 4 * longLine
		for range 2 {
			if _, err := c.line(long, f.size); err != nil {
				t.Error(err)
			}
		}
		if got := f.reads.Load(); got != 3 {
			t.Errorf("%d reads, want one more for each that is long", got-1)
		}
	})
}

// TestWhoWaitsForAChunkGetsOne: all chunks are in use, until the users of one
// are gone.
func TestWhoWaitsForAChunkGetsOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &slowFiles{t: t, size: (mostChunks + 1) * chunkBytes}
		c := testChunks(t, f)
		let := make(chan struct{})
		for n := range int64(mostChunks) {
			go func() {
				part := batch.Extent{Key: "in", Offset: n * chunkBytes, Length: chunkBytes}
				if err := c.use(part, func([]byte) { <-let }); err != nil {
					t.Error(err)
				}
			}()
		}
		time.Sleep(time.Second)
		var done atomic.Bool
		go func() {
			if err := c.use(batch.Extent{Key: "in", Offset: mostChunks * chunkBytes, Length: chunkBytes}, func([]byte) {}); err != nil {
				t.Error(err)
			}
			done.Store(true)
		}()
		time.Sleep(time.Minute)
		if done.Load() {
			t.Error("a chunk more than may be is kept")
		}
		close(let)
		time.Sleep(time.Second)
		if !done.Load() {
			t.Error("who waited for a chunk still does")
		}
	})
}

// TestTheLongestUnusedChunkGoes uses a chunk again before one more is asked for than
// are kept: it stays, and the one that was used least lately does not.
func TestTheLongestUnusedChunkGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &slowFiles{t: t, size: (mostChunks + 1) * chunkBytes}
		c := testChunks(t, f)
		use := func(n int64) (reads int64) {
			t.Helper()
			before := f.reads.Load()
			if _, err := c.line(batch.Extent{Key: "in", Offset: n * chunkBytes, Length: 100}, f.size); err != nil {
				t.Fatal(err)
			}
			return f.reads.Load() - before
		}
		for n := range int64(mostChunks) {
			use(n)
		}
		use(0)
		if use(mostChunks) != 1 || use(0) != 0 || use(2) != 0 {
			t.Error("a chunk that was used lately is gone")
		}
		if use(1) != 1 {
			t.Error("the one that was used longest ago is there")
		}
	})
}
