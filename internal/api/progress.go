package api

import (
	"fmt"
	"net/http"

	"github.com/musketry/musketry/internal/batch"
)

type (
	// A progressShape is how a batch went. OpenAI has no such object; it follows
	// the manner of the others.
	progressShape struct {
		Object   string         `json:"object"`
		BatchID  string         `json:"batch_id"`
		Samples  []sampleShape  `json:"samples"`
		Failures []failureShape `json:"failures"`
		Final    bool           `json:"final"`
	}

	// The fields are those of a batch's request_counts.
	sampleShape struct {
		At        int64 `json:"at"`
		Completed int   `json:"completed"`
		Failed    int   `json:"failed"`
		Expired   int   `json:"expired"`
		Cancelled int   `json:"cancelled"`
		Retrying  *int  `json:"retrying"`
	}

	failureShape struct {
		Reason   string `json:"reason"`
		Requests int    `json:"requests"`
	}
)

// batchProgress answers how a batch went so far: what its flow kept, and of one
// that runs how it stands now.
func (a *api) batchProgress(w http.ResponseWriter, r *http.Request, tenant string) error {
	b, err := a.batch(r, tenant)
	if err != nil {
		return err
	}
	h, err := a.Batches.History(r.Context(), b.Ref)
	if err != nil {
		return fmt.Errorf("api: read history: %w", err)
	}
	if running := !h.Settled && !b.Sealed && !b.Status.Terminal() && !b.InProgressAt.IsZero(); running {
		counts, err := a.counts(r.Context(), b)
		if err != nil {
			return err
		}
		h.Now(batch.Sample{At: a.Clock(), Counts: counts, Retrying: batch.RetryingUnknown})
	}
	writeJSON(w, http.StatusOK, shapeProgress(h))
	return nil
}

func shapeProgress(h batch.History) progressShape {
	p := progressShape{
		Object: "batch.progress", BatchID: h.ID, Final: h.Settled,
		Samples: make([]sampleShape, 0, len(h.Samples)), Failures: make([]failureShape, 0, len(h.Failures)),
	}
	for _, s := range h.Samples {
		shape := sampleShape{
			At: s.At.Unix(), Completed: s.Counts.Completed, Failed: s.Counts.Failed, Expired: s.Counts.Expired, Cancelled: s.Counts.Canceled,
		}
		if s.Retrying >= 0 {
			shape.Retrying = &s.Retrying
		}
		p.Samples = append(p.Samples, shape)
	}
	for _, f := range h.Failures {
		p.Failures = append(p.Failures, failureShape(f))
	}
	return p
}
