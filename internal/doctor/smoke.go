package doctor

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

const (
	// endPatience is how long a small batch may take: the first one of a
	// deployment waits for cold starts, and a model for its quota.
	endPatience = 5 * time.Minute
	// lookEvery is the time between two looks at a batch, of which up to half is
	// left out at random.
	lookEvery = 2 * time.Second
	// tidyTime bounds what is cleaned up after a step.
	tidyTime = 30 * time.Second
	// endpoint is what every line asks.
	endpoint = "/v1/chat/completions"
)

// A Stream is one answer with a file's bytes, and what the server says of them.
type Stream struct {
	io.ReadCloser

	Length int64  // -1 if it does not say
	SHA256 []byte // nil if it does not say
}

// A Files keeps files. Errors say what went wrong and what to do.
type Files interface {
	// Send sends a file, in parts if it is larger than a call carries.
	Send(ctx context.Context, name, purpose string, content []byte) (id string, err error)
	// Open asks for a file whole, in one answer.
	Open(ctx context.Context, id string) (Stream, error)
	// Fetch writes a file to w as "musketry results" does: in ranges, going on
	// where one breaks off, and held to the server's digest.
	Fetch(ctx context.Context, id string, w io.Writer) error
	Delete(ctx context.Context, id string) error
}

// A Batches runs batches.
type Batches interface {
	Create(ctx context.Context, fileID, endpoint, window string) (id string, err error)
	// Batch returns a batch's status, counts and files, and nothing else of it.
	Batch(ctx context.Context, id string) (batch.Batch, error)
	Cancel(ctx context.Context, id string) error
	// Finished returns how many lines of a batch have been finished so far, of
	// 1,000 at most.
	Finished(ctx context.Context, id string) (int, error)
	// Find returns how many requests of a batch have a custom_id.
	Find(ctx context.Context, id, customID string) (int, error)
}

// A Catalog lists models.
type Catalog interface {
	// Names returns those that the deployment lists.
	Names(ctx context.Context) ([]string, error)
	// Unknown asks for a model that there is not, and returns what the refusal says.
	Unknown(ctx context.Context, name string) (string, error)
}

// SmokeDeps are what a Smoke works with. All are required.
type SmokeDeps struct {
	Files   Files
	Batches Batches
	Catalog Catalog
	Clock   func() time.Time
	Random  *rand.ChaCha8
}

// A SmokeConfig says what is asked.
type SmokeConfig struct {
	Model string // that is asked; empty: the first that the deployment lists
	Slow  string // a model that takes longer than 10 s; empty: Model, told to write much
	Large int    // bytes of the large file; 0: 24 MB
	// Patience is how long a small batch may take; 0: 5 minutes.
	Patience time.Duration
}

// A Smoke is a smoke test of a deployment: what only AWS can show.
type Smoke struct {
	SmokeDeps

	config SmokeConfig
}

// NewSmoke returns a Smoke.
func NewSmoke(deps SmokeDeps, config SmokeConfig) *Smoke {
	if config.Large == 0 {
		config.Large = 24 << 20
	}
	if config.Patience == 0 {
		config.Patience = endPatience
	}
	return &Smoke{SmokeDeps: deps, config: config}
}

// A step shows one behaviour of AWS.
type step struct {
	name   string
	shows  string
	remedy string // of its failure
	run    func(ctx context.Context) Finding
}

// Run runs all steps and tells each finding as it is made. Where no model
// answers, nothing else is tried that needs one. It deletes the files that it
// made, as far as it can.
func (s *Smoke) Run(ctx context.Context, tell func(Finding)) {
	if f := s.choose(ctx); f.Status != OK {
		f.Check = "smoke/model"
		tell(f)
		return
	}
	for i, st := range s.steps() {
		if ctx.Err() != nil {
			return
		}
		f := st.run(ctx)
		f.Check, f.Shows = "smoke/"+st.name, st.shows
		if f.Status == Failure && f.Remedy == "" {
			f.Remedy = st.remedy
		}
		tell(f)
		if i == 0 && f.Status == Failure {
			return
		}
	}
}

func (s *Smoke) steps() []step {
	return []step{
		{
			"answer", "a request goes through API Gateway, Step Functions, SQS, Lambda, DynamoDB and S3, and a model answers it",
			"musketry status says why it waits; the logs of submit, execute and finalize in CloudWatch say what failed", s.answer,
		},
		{
			"names", "API Gateway brings paths and query strings as the client escaped them (docs/aws.md)",
			"a path or query comes changed through this API Gateway, or through what stands before it: compare with docs/aws.md, and report it", s.names,
		},
		{
			"large", "API Gateway streams an answer of more than 10 MB, and the whole of it arrives",
			"is the context streaming on, and its deployment of the API the current one? Until then fetch with musketry results, which asks for ranges", s.large,
		},
		{
			"cut", "a download that breaks off is gone on with by ranges, and is the same file",
			"a range is not served as asked: is a proxy or cache before the API?", s.cut,
		},
		{
			"cancel", "a cancel wakes the batch's flow through Step Functions' task token",
			"does the role of submit have states:SendTaskSuccess? The log of submit says so; the batch ends at its flow's next tick", s.cancel,
		},
		{
			"expiry", "a flow that is parked is woken by its timeout, and ends its batch at the deadline",
			"look at the batch's execution in the Step Functions console: which state does it wait in?", s.expiry,
		},
		{
			"early", "finished lines can be read while other requests of their batch are still called",
			"look at execute's log: are segments written (s3:PutObject) and journal entries (dynamodb:PutItem)?", s.early,
		},
	}
}

// choose settles which model is asked.
func (s *Smoke) choose(ctx context.Context) Finding {
	if s.config.Model == "" {
		names, err := s.Catalog.Names(ctx)
		if err != nil {
			return bad("", "is the address right (the stack's, or --base-url), and the key one of this deployment (OPENAI_API_KEY, --key-file)?",
				"the API does not list its models: %v", err)
		}
		if len(names) == 0 {
			return bad("", "name one that its default route serves: --model NAME", "the deployment lists no model")
		}
		s.config.Model = names[0]
	}
	return good("", "")
}

// lines returns a file of requests, one for each custom_id.
func lines(model, prompt string, customIDs ...string) []byte {
	var text strings.Builder
	for _, id := range customIDs {
		fmt.Fprintf(&text, `{"custom_id":%s,"method":"POST","url":"%s","body":{"model":%s,"messages":[{"role":"user","content":%s}]}}`+"\n",
			quote(id), endpoint, quote(model), quote(prompt))
	}
	return []byte(text.String())
}

// slow returns a file of n requests that take long.
func (s *Smoke) slow(n int) []byte {
	model := s.config.Slow
	if model == "" {
		model = s.config.Model
	}
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("slow-%d", i)
	}
	return lines(model, "Write the numbers from 1 to 1000 in words, one a line, and nothing else.", ids...)
}

// order sends a file of requests and has a batch made of it.
func (s *Smoke) order(ctx context.Context, content []byte, window string) (id, fileID string, err error) {
	if fileID, err = s.Files.Send(ctx, "doctor.jsonl", "batch", content); err != nil {
		return "", "", fmt.Errorf("send a file: %w", err)
	}
	if id, err = s.Batches.Create(ctx, fileID, endpoint, window); err != nil {
		s.tidy(ctx, batch.Batch{}, fileID)
		return "", "", fmt.Errorf("create a batch: %w", err)
	}
	return id, fileID, nil
}

// until looks at a batch until it is as wanted or has ended, and returns it, and
// an error if that takes longer than within.
func (s *Smoke) until(ctx context.Context, id string, within time.Duration, wanted func(batch.Batch) bool) (batch.Batch, error) {
	begun := s.Clock()
	for {
		b, err := s.Batches.Batch(ctx, id)
		b.ID = id
		switch {
		case err == nil && (b.Status.Terminal() || wanted(b)):
			return b, nil
		case ctx.Err() != nil:
			return b, fmt.Errorf("look at batch %s: %w", id, ctx.Err())
		case s.Clock().Sub(begun) > within && err != nil:
			return b, fmt.Errorf("look at batch %s: %w", id, err)
		case s.Clock().Sub(begun) > within:
			return b, fmt.Errorf("batch %s is %s after %s: %s", id, b.Status, within, counted(b.Counts))
		}
		s.pause(ctx)
	}
}

// end looks at a batch until it has ended.
func (s *Smoke) end(ctx context.Context, id string, within time.Duration) (batch.Batch, error) {
	return s.until(ctx, id, within, func(batch.Batch) bool { return false })
}

// pause waits until it is time to look again, or ctx ends.
func (s *Smoke) pause(ctx context.Context) {
	share := time.Duration(s.Random.Uint64() % uint64(lookEvery/2))
	t := time.NewTimer(lookEvery - share)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// tidy stops a batch that may still run, and deletes files. It is no finding
// where that fails: files expire.
func (s *Smoke) tidy(ctx context.Context, b batch.Batch, files ...string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	if b.ID != "" && !b.Status.Terminal() {
		_ = s.Batches.Cancel(ctx, b.ID)
		var err error
		if b, err = s.end(ctx, b.ID, tidyTime); err != nil {
			return // its files are in use
		}
	}
	for _, id := range append(files, b.OutputFileID, b.ErrorFileID) {
		if id != "" {
			_ = s.Files.Delete(ctx, id)
		}
	}
}

func counted(c batch.Counts) string {
	return fmt.Sprintf("%d of %d requests completed, %d failed, %d expired, %d cancelled", c.Completed, c.Total, c.Failed, c.Expired, c.Canceled)
}

// adds reports whether each of n requests has one outcome.
func adds(c batch.Counts, n int) bool { return c.Total == n && c.Done() == n }
