package api

import (
	"cmp"
	"time"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/state"
)

// A requestShape is how one request of a batch stands. OpenAI has no such
// object; it follows the manner of the others.
type requestShape struct {
	ID          string  `json:"id"`
	Object      string  `json:"object"`
	BatchID     string  `json:"batch_id"`
	CustomID    string  `json:"custom_id"`
	Line        int     `json:"line"`
	Status      string  `json:"status"`
	Attempts    int     `json:"attempts"`
	Reclaims    *int    `json:"reclaims"`
	LastFailure *string `json:"last_failure"`
	FailureKind *string `json:"failure_kind"`
	Reason      *string `json:"reason"`
	RetryDenied *string `json:"retry_denied"`
	StatusCode  *int    `json:"status_code"`
	Model       *string `json:"model"`
	CreatedAt   int64   `json:"created_at"`
	NextTryAt   *int64  `json:"next_try_at"`
	ClaimedAt   *int64  `json:"claimed_at"`
	StartedAt   *int64  `json:"started_at"`
	FinishedAt  *int64  `json:"finished_at"`
}

func shapeRequest(b batch.Batch, rec state.Record) requestShape {
	s := requestShape{
		ID: batch.RequestID(rec.Spec.Key), Object: "batch.request", BatchID: b.ID, CustomID: rec.Spec.CustomID,
		Line: rec.Spec.Key.Line, Status: string(batch.OutcomeOf(rec.Phase)), Reason: orNull(batch.ReasonOf(rec.Phase)), CreatedAt: b.CreatedAt.Unix(),
	}
	switch p := rec.Phase.(type) {
	case state.Pending:
		s.Attempts, s.Reclaims, s.LastFailure = p.Attempt, &p.Reclaims, orNull(p.Last)
		s.NextTryAt = unix(p.NotBefore)
	case state.Claimed:
		s.Attempts, s.Reclaims, s.LastFailure = p.Attempt, &p.Reclaims, orNull(p.Last)
		s.ClaimedAt = unix(p.ClaimedAt)
	case state.Processing:
		s.Attempts, s.Reclaims, s.LastFailure = p.Attempt+1, &p.Reclaims, orNull(p.Last)
		s.ClaimedAt, s.StartedAt = unix(p.ClaimedAt), unix(p.StartedAt)
	case state.Completed:
		s.Attempts, s.StatusCode, s.Model = p.Attempt+1, orNone(p.StatusCode), orNull(p.Model)
		s.times(p.ClaimedAt, p.StartedAt, p.CompletedAt)
	case state.Failed:
		s.failed(p)
	case state.Canceled:
		s.Attempts, s.LastFailure = p.Attempt, orNull(p.Last)
		s.times(time.Time{}, p.StartedAt, p.CanceledAt)
		s.inFlight(p.StartedAt)
	}
	return s
}

// failed tells of a failure. Its reason quotes no body.
func (s *requestShape) failed(p state.Failed) {
	s.Attempts, s.Reclaims, s.Model = p.Attempt, &p.Reclaims, orNull(p.Model)
	s.inFlight(p.StartedAt)
	s.LastFailure, s.FailureKind = orNull(p.Reason.String()), orNull(string(p.Reason.Kind()))
	s.RetryDenied = orNull(string(p.Denial))
	switch r := p.Reason.(type) {
	case state.RetryableHTTPStatus:
		s.StatusCode = orNone(r.Status)
	case state.NonRetryableHTTPStatus:
		s.StatusCode = orNone(r.Status)
	case state.ErrorInBody:
		s.StatusCode = orNone(r.Status)
	case state.InvalidAnswer:
		s.StatusCode = orNone(r.Status)
	case state.Expired:
		s.LastFailure = orNull(cmp.Or(r.Last, r.String()))
	case state.RetryTooLate:
		s.LastFailure = orNull(r.Last)
	case state.Timeout, state.NetworkError, state.RequestBuilderError, state.TaskTerminated, state.ResponseTooLarge:
	}
	s.times(p.ClaimedAt, p.StartedAt, p.FailedAt)
}

// inFlight counts the call that began at started, unless it is zero.
func (s *requestShape) inFlight(started time.Time) {
	if !started.IsZero() {
		s.Attempts++
	}
}

func (s *requestShape) times(claimed, started, finished time.Time) {
	s.ClaimedAt, s.StartedAt, s.FinishedAt = unix(claimed), unix(started), unix(finished)
}

func orNone(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}
