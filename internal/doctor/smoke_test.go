package doctor_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/doctor"
)

// A cloud does what AWS does, until a test has it do otherwise.
type cloud struct {
	files   map[string][]byte
	batches map[string]*running
	deleted int
	made    int

	models    []string
	noAnswer  bool                     // requests fail
	full      bool                     // no batch can be made
	never     bool                     // batches do not end
	path      func(name string) string // what becomes of a name in a path
	query     func(name string) string // what becomes of one in a query string
	stream    func(body []byte) []byte // what arrives of a file in one answer
	ranges    func(body []byte) []byte // what arrives of one in ranges
	noDigest  bool                     // of a streamed answer
	deaf      bool                     // cancels are not heard
	timeless  bool                     // deadlines are not kept
	late      bool                     // nothing is read before the end
	uncounted bool                     // a cancelled request is not counted
}

// A running is a batch of the cloud, whose slow requests take 40 s.
type running struct {
	content  []byte
	begun    time.Time
	deadline time.Time
	canceled time.Time
}

func newCloud() *cloud {
	same := func(s string) string { return s }
	whole := func(b []byte) []byte { return b }
	return &cloud{
		files: map[string][]byte{}, batches: map[string]*running{}, models: []string{"m"},
		path: same, query: same, stream: whole, ranges: whole,
	}
}

func (c *cloud) id(prefix string) string { c.made++; return fmt.Sprintf("%s-%d", prefix, c.made) }

func (c *cloud) Send(_ context.Context, _, _ string, content []byte) (string, error) {
	id := c.id("file")
	c.files[id] = content
	return id, nil
}

func (c *cloud) Open(_ context.Context, id string) (doctor.Stream, error) {
	sum := sha256.Sum256(c.files[id])
	s := doctor.Stream{
		ReadCloser: io.NopCloser(bytes.NewReader(c.stream(c.files[id]))), Length: int64(len(c.files[id])), SHA256: sum[:],
	}
	if c.noDigest {
		s.Length, s.SHA256 = -1, nil
	}
	return s, nil
}

func (c *cloud) Fetch(_ context.Context, id string, w io.Writer) error {
	_, err := w.Write(c.ranges(c.files[id]))
	return err
}

func (c *cloud) Delete(context.Context, string) error { c.deleted++; return nil }

func (c *cloud) Create(_ context.Context, file, _, window string) (string, error) {
	if c.full {
		return "", errBroken
	}
	lasts, err := batch.ParseWindow(window)
	id := c.id("batch")
	c.batches[id] = &running{content: c.files[file], begun: time.Now(), deadline: time.Now().Add(lasts)}
	return id, err
}

func (c *cloud) Cancel(_ context.Context, id string) error {
	if !c.deaf {
		c.batches[id].canceled = time.Now()
	}
	return nil
}

// Batch returns a batch: quick requests take 2 s, slow ones 40.
func (c *cloud) Batch(_ context.Context, id string) (batch.Batch, error) {
	r := c.batches[id]
	if r == nil {
		return batch.Batch{}, errors.New("no such batch")
	}
	total, slow := bytes.Count(r.content, []byte("\n")), bytes.Count(r.content, []byte(`"slow-`))
	b := batch.Batch{Status: batch.StatusInProgress, Counts: batch.Counts{Total: total}}
	age, due := time.Since(r.begun), !time.Now().Before(r.deadline) && !c.timeless
	if age >= 2*time.Second {
		b.Counts.Completed = total - slow
	}
	switch {
	case c.never:
	case !r.canceled.IsZero():
		b.Status, b.Counts.Canceled = batch.StatusCanceled, total-b.Counts.Completed
		if c.uncounted {
			b.Counts.Canceled--
		}
	case due:
		b.Status, b.Counts.Expired = batch.StatusExpired, total-b.Counts.Completed
	case age >= 2*time.Second && slow == 0, age >= 40*time.Second:
		b.Status, b.Counts.Completed = batch.StatusCompleted, total
		if c.noAnswer {
			b.Counts.Completed, b.Counts.Failed = 0, total
		}
		b.OutputFileID = id + "-out"
		c.files[b.OutputFileID] = r.content
	}
	return b, nil
}

func (c *cloud) Finished(ctx context.Context, id string) (int, error) {
	b, err := c.Batch(ctx, id)
	if c.late {
		return 0, err
	}
	return b.Counts.Completed, err
}

func (c *cloud) Find(_ context.Context, id, customID string) (int, error) {
	text, err := json.Marshal(c.query(customID))
	return bytes.Count(c.batches[id].content, append([]byte(`"custom_id":`), text...)), err
}

func (c *cloud) Names(context.Context) ([]string, error) { return c.models, nil }

func (c *cloud) Unknown(_ context.Context, name string) (string, error) {
	return "The model '" + c.path(name) + "' does not exist.", nil
}

// smoke runs the test, in virtual time, and returns what it found by its steps.
func (c *cloud) smoke(ctx context.Context, config doctor.SmokeConfig) map[string]doctor.Finding {
	found := map[string]doctor.Finding{}
	config.Large = 12 << 20
	doctor.NewSmoke(doctor.SmokeDeps{
		Files: c, Batches: c, Catalog: c, Clock: time.Now, Random: rand.NewChaCha8([32]byte{1}),
	}, config).Run(ctx, func(f doctor.Finding) { found[strings.TrimPrefix(f.Check, "smoke/")] = f })
	return found
}

func TestSmokeOfAHealthyDeployment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		found := c.smoke(t.Context(), doctor.SmokeConfig{})
		for _, name := range []string{"answer", "names", "large", "cut", "cancel", "expiry", "early"} {
			if f := found[name]; f.Status != doctor.OK || f.Shows == "" || f.Message == "" {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if inputs := 7; c.deleted < inputs {
			t.Errorf("%d files were deleted, of %d and their results", c.deleted, inputs)
		}
	})
}

// Each step finds what it is there for, and says what to do.
func TestSmokeFinds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(c *cloud)
		config  doctor.SmokeConfig
		step    string
		status  doctor.Status
		message string
	}{
		"no model":            {change: func(c *cloud) { c.models = nil }, step: "model", status: doctor.Failure, message: "lists no model"},
		"no answer":           {change: func(c *cloud) { c.noAnswer = true }, step: "answer", status: doctor.Failure, message: "does not answer"},
		"no end":              {change: func(c *cloud) { c.never = true }, step: "answer", status: doctor.Failure, message: "in_progress after"},
		"paths are unescaped": {change: func(c *cloud) { c.path = func(s string) string { return strings.ReplaceAll(s, "%2F", "/") } }, step: "names", status: doctor.Failure, message: "comes changed"},
		"a query is split":    {change: func(c *cloud) { c.query = func(s string) string { s, _, _ = strings.Cut(s, ";"); return s } }, step: "names", status: doctor.Failure, message: `"a;b"`},
		"results lack a line": {change: func(c *cloud) {
			c.ranges = func(b []byte) []byte {
				if i := bytes.IndexByte(b, '\n'); b[0] == '{' && i > 0 {
					return b[i+1:]
				}
				return b
			}
		}, step: "names", status: doctor.Failure, message: "0 lines"},
		"streams end early":   {change: func(c *cloud) { c.stream = func(b []byte) []byte { return b[:min(len(b), 10<<20)] } }, step: "large", status: doctor.Failure, message: "arrived of"},
		"lengths are dropped": {change: func(c *cloud) { c.noDigest = true }, step: "large", status: doctor.Failure, message: "length -1"},
		"ranges are wrong": {change: func(c *cloud) {
			c.ranges = func(b []byte) []byte {
				if len(b) > 1<<20 {
					return b[1:]
				}
				return b
			}
		}, step: "cut", status: doctor.Failure, message: "they are others"},
		"cancels are lost":       {change: func(c *cloud) { c.deaf = true }, step: "cancel", status: doctor.Failure, message: "completed all the same"},
		"a request is lost":      {change: func(c *cloud) { c.uncounted = true }, step: "cancel", status: doctor.Failure, message: "do not add up"},
		"deadlines are not kept": {change: func(c *cloud) { c.timeless = true }, step: "expiry", status: doctor.Warning, message: "was not seen"},
		"results come late":      {change: func(c *cloud) { c.late = true }, step: "early", status: doctor.Warning, message: "had ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				site := newCloud()
				c.change(site)
				f := site.smoke(t.Context(), c.config)[c.step]
				if f.Status != c.status || !strings.Contains(f.Message, c.message) || f.Remedy == "" {
					t.Errorf("%+v", f)
				}
			})
		})
	}
}

// Where no model answers nothing is tried that needs one.
func TestSmokeEndsWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		c.noAnswer = true
		if found := c.smoke(t.Context(), doctor.SmokeConfig{Model: "other"}); len(found) != 1 || len(c.batches) != 1 {
			t.Errorf("%d steps, %d batches", len(found), len(c.batches))
		}
	})
}

// A file of which no batch could be made does not stay.
func TestSmokeLeavesNoFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		c.full = true
		if found := c.smoke(t.Context(), doctor.SmokeConfig{Model: "m"}); len(found) != 1 || found["answer"].Status != doctor.Failure || c.deleted != 1 {
			t.Errorf("%+v; %d files of %d are deleted", found, c.deleted, len(c.files))
		}
	})
}
