package doctor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// shortest is the shortest completion window that a batch may have, and
	// expiryGrace how long after it a batch has ended.
	shortest    = 10 * time.Second
	expiryGrace = 2 * time.Minute
	// cancelGrace is after how long a cancel must have been heard.
	cancelGrace = 30 * time.Second
	// canceled is how many requests the step has that cancels.
	canceled = 10
	// cutAfter is how many bytes of the large file arrive before the connection is cut.
	cutAfter = 5 << 20
)

// oddNames returns custom_ids that a path or a query could garble, and oddModels
// such names of models, which stand in a path.
func oddNames() []string {
	return []string{
		"plain", "a b", "a+b", "a%20b", "50%", "a/b/../c", "a?b=c&d", "a;b", `a"b\c`, "a#b", "{a|b}", "ü-日本-🙂",
	}
}

func oddModels() []string {
	return []string{"no such/model", "no%2Fsuch%20model", "no+such:model@1", "nö-such-模型"}
}

// answer runs one request.
func (s *Smoke) answer(ctx context.Context) Finding {
	id, file, err := s.order(ctx, lines(s.config.Model, "Say yes.", "one"), "1h")
	if err != nil {
		return bad("", "is the address right (the stack's, or --base-url), and the key one of this deployment (OPENAI_API_KEY, --key-file)?", "%v", err)
	}
	begun := s.Clock()
	b, err := s.end(ctx, id, s.config.Patience)
	defer func() { s.tidy(ctx, b, file) }()
	switch {
	case err != nil:
		return bad(id, "", "%s has not answered: %v", s.config.Model, err)
	case b.Status != batch.StatusCompleted || b.Counts.Completed != 1:
		return bad(id, "the batch's error file has the provider's own words: musketry results "+id+" --errors -",
			"%s does not answer: the batch is %s, %s", s.config.Model, b.Status, counted(b.Counts))
	}
	return good("", "%s answered within %s", s.config.Model, s.Clock().Sub(begun).Round(time.Second/10))
}

// names has names come back that a path or a query string may garble.
func (s *Smoke) names(ctx context.Context) Finding {
	for _, name := range oddModels() {
		said, err := s.Catalog.Unknown(ctx, name)
		if err != nil {
			return bad("", "", "asked for the model %q: %v", name, err)
		}
		if !strings.Contains(said, "'"+name+"'") {
			return bad("", "", "a model's name comes changed: %q is answered with %.200q", name, said)
		}
	}
	names := oddNames()
	id, file, err := s.order(ctx, lines(s.config.Model, "Say yes.", names...), "1h")
	if err != nil {
		return bad("", "", "%v", err)
	}
	b, err := s.end(ctx, id, s.config.Patience)
	defer func() { s.tidy(ctx, b, file) }()
	if err != nil || !adds(b.Counts, len(names)) {
		return bad(id, "", "the batch is %s: %s (%v)", b.Status, counted(b.Counts), err)
	}
	for _, name := range names {
		if n, err := s.Batches.Find(ctx, id, name); n != 1 || err != nil {
			return bad(id, "", "of the custom_id %q %d requests were found, not 1 (%v)", name, n, err)
		}
	}
	return s.named(ctx, b, names)
}

// named looks whether a batch's files have each name once.
func (s *Smoke) named(ctx context.Context, b batch.Batch, names []string) Finding {
	seen := map[string]int{}
	for _, file := range []string{b.OutputFileID, b.ErrorFileID} {
		var text bytes.Buffer
		if file == "" {
			continue
		}
		if err := s.Files.Fetch(ctx, file, &text); err != nil {
			return bad(b.ID, "", "its results: %v", err)
		}
		for line := range bytes.Lines(text.Bytes()) {
			var l struct {
				CustomID string `json:"custom_id"`
			}
			if err := json.Unmarshal(line, &l); err != nil {
				return bad(b.ID, "", "a line of its results is no JSON")
			}
			seen[l.CustomID]++
		}
	}
	for _, name := range names {
		if seen[name] != 1 {
			return bad(b.ID, "", "the custom_id %q stands in %d lines of the results, not in 1", name, seen[name])
		}
	}
	return good("", "%d names of requests and %d of models come back as they were sent", len(names), len(oddModels()))
}

// large downloads a large file in one answer.
func (s *Smoke) large(ctx context.Context) Finding {
	return s.withLarge(ctx, func(id string, content []byte) Finding {
		begun := s.Clock()
		stream, err := s.Files.Open(ctx, id)
		if err != nil {
			return bad("", "", "%v", err)
		}
		got, err := io.ReadAll(io.LimitReader(stream, int64(len(content))+1))
		_ = stream.Close() // it was read
		want := sha256.Sum256(content)
		switch {
		case err != nil:
			return bad("", "", "the download broke off after %d of %d bytes: %v", len(got), len(content), err)
		case !bytes.Equal(got, content):
			return bad("", "", "%d bytes arrived of %d, and they are others", len(got), len(content))
		case stream.Length != int64(len(content)) || !bytes.Equal(stream.SHA256, want[:]):
			return bad("", "musketry results is held to them: is a proxy before the API that drops headers?",
				"the answer does not say the file's length and digest: length %d, %d bytes of digest", stream.Length, len(stream.SHA256))
		}
		return good("", "%d MB arrived whole in one answer in %s", len(content)>>20, s.Clock().Sub(begun).Round(time.Second/10))
	})
}

// cut breaks a download off, and fetches the file as the command line does.
func (s *Smoke) cut(ctx context.Context) Finding {
	return s.withLarge(ctx, func(id string, content []byte) Finding {
		stream, err := s.Files.Open(ctx, id)
		if err != nil {
			return bad("", "", "%v", err)
		}
		begin := make([]byte, min(cutAfter, len(content)/2))
		_, err = io.ReadFull(stream, begin)
		_ = stream.Close() // which cuts it
		if err != nil || !bytes.Equal(begin, content[:len(begin)]) {
			return bad("", "", "the first %d bytes do not arrive: %v", len(begin), err)
		}
		var got bytes.Buffer
		if err := s.Files.Fetch(ctx, id, &got); err != nil {
			return bad("", "", "after a cut: %v", err)
		}
		if !bytes.Equal(got.Bytes(), content) {
			return bad("", "", "after a cut %d bytes arrived of %d, and they are others", got.Len(), len(content))
		}
		return good("", "cut after %d MB, %d MB arrived by ranges, held to the digest", len(begin)>>20, len(content)>>20)
	})
}

// withLarge has f look at a large file of noise, which is deleted afterwards.
func (s *Smoke) withLarge(ctx context.Context, f func(id string, content []byte) Finding) Finding {
	content := make([]byte, s.config.Large)
	_, _ = s.Random.Read(content) // never fails
	id, err := s.Files.Send(ctx, "doctor.bin", "user_data", content)
	if err != nil {
		return bad("", "a large file is joined from parts inside 29 s, API Gateway's limit: try again, or look at submit's log",
			"a file of %d MB was not taken: %v", len(content)>>20, err)
	}
	defer s.tidy(ctx, batch.Batch{}, id)
	return f(id, content)
}

// cancel cancels a batch whose requests take long.
func (s *Smoke) cancel(ctx context.Context) Finding {
	id, file, err := s.order(ctx, s.slow(canceled), "1h")
	if err != nil {
		return bad("", "", "%v", err)
	}
	b, err := s.until(ctx, id, s.config.Patience, func(b batch.Batch) bool { return b.Status == batch.StatusInProgress })
	defer func() { s.tidy(ctx, b, file) }()
	if err != nil {
		return bad(id, "", "%v", err)
	}
	begun := s.Clock()
	if !b.Status.Terminal() {
		if err := s.Batches.Cancel(ctx, id); err != nil {
			return bad(id, "", "%v", err)
		}
		if b, err = s.end(ctx, id, s.config.Patience); err != nil {
			return bad(id, "", "%v", err)
		}
	}
	switch {
	case !adds(b.Counts, canceled):
		return bad(id, "report it: each request must have one outcome", "the batch is %s, and its counts do not add up: %s", b.Status, counted(b.Counts))
	case b.Status == batch.StatusCompleted && s.Clock().Sub(begun) > cancelGrace:
		return bad(id, "", "the batch was cancelled and completed all the same, %s later", s.Clock().Sub(begun).Round(time.Second))
	case b.Status == batch.StatusCompleted:
		return warn(id, "name a model that takes longer: --slow-model", "the batch was done before it could be cancelled")
	case b.Status != batch.StatusCanceled:
		return bad(id, "", "the batch is %s", b.Status)
	}
	return good("", "the batch ended within %s of its cancel, each request with one outcome", s.Clock().Sub(begun).Round(time.Second/10))
}

// expiry runs a batch whose deadline overtakes it.
func (s *Smoke) expiry(ctx context.Context) Finding {
	id, file, err := s.order(ctx, s.slow(1), fmt.Sprintf("%.0fs", shortest.Seconds()))
	if err != nil {
		return bad("", "", "%v", err)
	}
	begun := s.Clock()
	b, err := s.end(ctx, id, shortest+expiryGrace)
	defer func() { s.tidy(ctx, b, file) }()
	took := s.Clock().Sub(begun)
	switch {
	case err != nil:
		return bad(id, "", "%v", err)
	case b.Status == batch.StatusCompleted:
		return warn(id, "name a model that takes longer than 10 s: --slow-model", "the batch was done within its %s: its expiry was not seen", shortest)
	case b.Status == batch.StatusExpired && b.Counts.Total == 0: // not loaded in time
		return good("", "the batch expired %s after its start", took.Round(time.Second/10))
	case b.Status != batch.StatusExpired || !adds(b.Counts, 1):
		return bad(id, "", "the batch is %s: %s", b.Status, counted(b.Counts))
	}
	return good("", "the batch expired %s after its start, each request with one outcome", took.Round(time.Second/10))
}

// early reads finished lines of a batch that goes on.
func (s *Smoke) early(ctx context.Context) Finding {
	content := append(lines(s.config.Model, "Say yes.", "quick-1", "quick-2"), s.slow(1)...)
	id, file, err := s.order(ctx, content, "1h")
	if err != nil {
		return bad("", "", "%v", err)
	}
	var lookErr error
	finished := 0
	b, err := s.until(ctx, id, s.config.Patience, func(batch.Batch) bool {
		finished, lookErr = s.Batches.Finished(ctx, id)
		return lookErr == nil && finished > 0
	})
	defer func() { s.tidy(ctx, b, file) }()
	switch {
	case err != nil:
		return bad(id, "", "no line could be read: %v (%v)", err, lookErr)
	case b.Status.Terminal():
		return warn(id, "name a model that takes longer: --slow-model", "the batch had ended before a line was read")
	}
	return good("", "%d of 3 lines were read while the batch was %s", finished, b.Status)
}

// quote returns s as a JSON string.
func quote(s string) string {
	text, _ := json.Marshal(s) // a string always can be
	return string(text)
}
