package api

import (
	"context"
	"crypto/md5" //nolint:gosec // OpenAI's API asks for it, against transmission errors only
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"sync"
)

// readAhead is how many parts are read at once while they are joined: a part
// has some megabytes, and S3 gives more together than one after the other.
const readAhead = 4

// A joined reads parts in order as one stream, some of them ahead. It must be
// stopped.
type joined struct {
	cancel  context.CancelFunc
	pending chan chan part // in the parts' order
	current []byte
	left    int // parts that are still to come
	done    sync.WaitGroup
	err     error
}

type part struct {
	body []byte
	err  error
}

// newJoined returns the stream of n parts, which read reads. It is ended by
// stop and by ctx.
func newJoined(ctx context.Context, n int, read func(ctx context.Context, i int) ([]byte, error)) *joined {
	ctx, cancel := context.WithCancel(ctx)
	j := &joined{cancel: cancel, pending: make(chan chan part, readAhead-1), left: n}
	j.done.Go(func() {
		defer close(j.pending)
		for i := range n {
			slot := make(chan part, 1)
			select {
			case j.pending <- slot: // has room for those read ahead
			case <-ctx.Done():
				return
			}
			j.done.Go(func() {
				body, err := read(ctx, i)
				slot <- part{body: body, err: err}
			})
		}
	})
	return j
}

func (j *joined) Read(p []byte) (int, error) {
	for j.err == nil && len(j.current) == 0 {
		slot, more := <-j.pending
		if !more {
			j.err = io.EOF
			if j.left > 0 { // an end before the end would make a shorter file
				j.err = fmt.Errorf("api: %d parts were not read: %w", j.left, io.ErrUnexpectedEOF)
			}
			break
		}
		j.left--
		next := <-slot
		if next.err != nil {
			j.err = fmt.Errorf("api: read part: %w", next.err)
		}
		j.current = next.body
	}
	if len(j.current) == 0 {
		return 0, j.err
	}
	n := copy(p, j.current)
	j.current = j.current[n:]
	return n, nil
}

// stop ends what is being read and waits for it.
func (j *joined) stop() {
	j.cancel()
	j.done.Wait() // nobody waits for a taker: slots have room, and their sender hears of the end
}

// A summed reads a stream and knows the MD5 of what it has read.
type summed struct {
	from io.Reader
	hash hash.Hash
}

func newSummed(from io.Reader) *summed {
	return &summed{from: from, hash: md5.New()} //nolint:gosec // see the import
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	s.hash.Write(p[:n])
	return n, err
}

// sum returns the MD5 in hex.
func (s *summed) sum() string { return hex.EncodeToString(s.hash.Sum(nil)) }
