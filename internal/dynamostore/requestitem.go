package dynamostore

import (
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/state"
)

// A request's attributes. Their names are short since a write costs by size,
// names included; batch, line and shard are in the key.
const (
	attrStatus   = "s"
	attrClaim    = "c" // the last claim's id
	attrWorker   = "w"
	attrExpires  = "x" // the lease's end
	attrAttempt  = "a"
	attrReclaims = "r"
	attrNotFrom  = "b"  // not before
	attrDoubts   = "ad" // the doubtful ones among the attempts
	attrLast     = "e"  // the last failure in short

	attrCustomID   = "u"
	attrModelIndex = "mi"
	attrDeadline   = "d"
	attrRetryUntil = "dr"
	attrBodyObject = "io"
	attrBodyOffset = "i"
	attrBodyLength = "il"

	attrClaimedAt = "t1"
	attrStartedAt = "t2"
	attrEndedAt   = "t3" // completed, failed or canceled

	attrCode         = "h" // the answer's status
	attrModel        = "m"
	attrAnswerObject = "oo"
	attrAnswerOffset = "o"
	attrAnswerLength = "ol"

	attrInputTokens     = "ui"
	attrCachedTokens    = "uc"
	attrOutputTokens    = "uo"
	attrReasoningTokens = "ur"
	attrTotalTokens     = "ut"

	attrReason = "f"
	attrText   = "ft" // the reason's error
	attrNumber = "fn" // the reason's status, deaths or limit
	attrMeans  = "fm" // the status that the reason means
	attrAgain  = "fa" // the reason is worth another attempt, or calls were made
	attrDenial = "fd"
)

// phaseAttributes are all that setPhase may set.
func phaseAttributes() []string {
	return []string{
		attrStatus, attrClaim, attrWorker, attrExpires, attrAttempt, attrReclaims, attrNotFrom, attrLast,
		attrClaimedAt, attrStartedAt, attrEndedAt,
		attrCode, attrModel, attrAnswerObject, attrAnswerOffset, attrAnswerLength,
		attrInputTokens, attrCachedTokens, attrOutputTokens, attrReasoningTokens, attrTotalTokens,
		attrReason, attrText, attrNumber, attrMeans, attrAgain, attrDenial, attrDoubts,
	}
}

// encodeRequest returns rec's item. It expires retention after the batch's
// deadline, whatever its own end: until the batch is sealed none may be
// missing.
func encodeRequest(rec state.Record, retention time.Duration) item {
	it := requestKey(rec.Spec.Key).item()
	it.setSpec(rec.Spec)
	if retention > 0 {
		it.setExpiry(rec.Spec.Deadline.Add(retention))
	}
	it.setPhase(rec.Phase)
	return it
}

// setPhase sets what changes in a request's life.
func (it item) setPhase(p state.Phase) {
	it.setString(attrStatus, string(p.Status()))
	switch p := p.(type) {
	case state.Pending:
		it.setTries(p.Attempt, p.Reclaims, p.Last)
		it.setInt(attrDoubts, int64(p.Doubts))
		it.setString(attrClaim, p.ClaimID)
		it.setTime(attrNotFrom, p.NotBefore)
	case state.Claimed:
		it.setTries(p.Attempt, p.Reclaims, p.Last)
		it.setInt(attrDoubts, int64(p.Doubts))
		it.setLease(p.Lease)
		it.setTimes(p.ClaimedAt, time.Time{}, time.Time{})
	case state.Processing:
		it.setTries(p.Attempt, p.Reclaims, p.Last)
		it.setInt(attrDoubts, int64(p.Doubts))
		it.setLease(p.Lease)
		it.setTimes(p.ClaimedAt, p.StartedAt, time.Time{})
	case state.Completed:
		it.setTries(p.Attempt, 0, "")
		it.setString(attrClaim, p.ClaimID)
		it.setInt(attrCode, int64(p.StatusCode))
		it.setAnswer(p.Answer, p.Model)
		it.setTokens(p.Tokens)
		it.setTimes(p.ClaimedAt, p.StartedAt, p.CompletedAt)
	case state.Failed:
		it.setTries(p.Attempt, p.Reclaims, "")
		it.setString(attrClaim, p.ClaimID)
		it.setReason(p.Reason)
		it.setString(attrDenial, string(p.Denial))
		it.setInt(attrDoubts, int64(p.Doubts))
		it.setAnswer(p.Answer, p.Model)
		it.setTokens(p.Tokens)
		it.setTimes(p.ClaimedAt, p.StartedAt, p.FailedAt)
	case state.Canceled:
		it.setTries(p.Attempt, 0, p.Last)
		it.setString(attrClaim, p.ClaimID)
		it.setTimes(time.Time{}, p.StartedAt, p.CanceledAt)
	}
}

func (it item) setSpec(spec state.Spec) {
	it.setString(attrCustomID, spec.CustomID)
	it.setInt(attrModelIndex, int64(spec.Model))
	it.setTime(attrDeadline, spec.Deadline)
	it.setTime(attrRetryUntil, spec.RetryUntil)
	it.setString(attrBodyObject, spec.Body.Object)
	it.setInt(attrBodyOffset, spec.Body.Offset)
	it.setInt(attrBodyLength, spec.Body.Length)
}

func (it item) setTries(attempt, reclaims int, last string) {
	it.setInt(attrAttempt, int64(attempt))
	it.setInt(attrReclaims, int64(reclaims))
	it.setString(attrLast, last)
}

func (it item) setLease(l state.Lease) {
	it.setString(attrClaim, l.ClaimID)
	it.setString(attrWorker, l.Worker)
	it.setTime(attrExpires, l.Expires)
}

func (it item) setTimes(claimed, started, ended time.Time) {
	it.setTime(attrClaimedAt, claimed)
	it.setTime(attrStartedAt, started)
	it.setTime(attrEndedAt, ended)
}

func (it item) setAnswer(at state.Span, model string) {
	it.setString(attrAnswerObject, at.Object)
	it.setInt(attrAnswerOffset, at.Offset)
	it.setInt(attrAnswerLength, at.Length)
	it.setString(attrModel, model)
}

func (it item) setTokens(u state.Tokens) {
	it.setInt(attrInputTokens, u.Input)
	it.setInt(attrCachedTokens, u.Cached)
	it.setInt(attrOutputTokens, u.Output)
	it.setInt(attrReasoningTokens, u.Reasoning)
	it.setInt(attrTotalTokens, u.Total)
}

func (it item) setReason(reason state.Reason) {
	it.setString(attrReason, string(reason.Kind()))
	switch r := reason.(type) {
	case state.RetryableHTTPStatus:
		it.setInt(attrNumber, int64(r.Status))
	case state.NonRetryableHTTPStatus:
		it.setInt(attrNumber, int64(r.Status))
	case state.Timeout:
		it.setString(attrText, r.Error)
	case state.NetworkError:
		it.setString(attrText, r.Error)
	case state.RequestBuilderError:
		it.setString(attrText, r.Error)
	case state.TaskTerminated:
		it.setString(attrText, r.Error)
		it.setInt(attrNumber, int64(r.Deaths))
	case state.ResponseTooLarge:
		it.setInt(attrNumber, r.Limit)
	case state.ErrorInBody:
		it.setInt(attrNumber, int64(r.Status))
		it.setInt(attrMeans, int64(r.Means))
		it.setBool(attrAgain, r.Again)
	case state.InvalidAnswer:
		it.setInt(attrNumber, int64(r.Status))
		it.setString(attrText, r.Error)
		it.setBool(attrAgain, r.Again)
	case state.RetryTooLate:
		it.setString(attrText, r.Last)
	case state.Expired:
		it.setString(attrText, r.Last)
		it.setBool(attrAgain, r.Called)
	}
}

// decodeRequest reads what encodeRequest wrote.
func decodeRequest(it item) (state.Record, error) {
	r := &reader{item: it}
	key, err := requestOf(r.string(attrPK), r.string(attrSK))
	if err != nil {
		return state.Record{}, err
	}
	rec := state.Record{
		Spec: state.Spec{
			Key: key, CustomID: r.string(attrCustomID), Model: r.int(attrModelIndex), Deadline: r.time(attrDeadline),
			RetryUntil: r.time(attrRetryUntil),
			Body: state.Span{
				Object: r.string(attrBodyObject), Offset: r.int64(attrBodyOffset), Length: r.int64(attrBodyLength),
			},
		},
		Phase: r.phase(),
	}
	if r.err != nil {
		return state.Record{}, fmt.Errorf("line %d of %s: %w", key.Line, key.Batch, r.err)
	}
	return rec, nil
}

func (r *reader) phase() state.Phase {
	attempt, reclaims, last := r.int(attrAttempt), r.int(attrReclaims), r.string(attrLast)
	claim, lease, doubts := r.string(attrClaim), r.lease(), r.int(attrDoubts)
	claimed, started, ended := r.time(attrClaimedAt), r.time(attrStartedAt), r.time(attrEndedAt)
	switch status := state.Status(r.string(attrStatus)); status {
	case state.StatusPending:
		return state.Pending{
			Attempt: attempt, NotBefore: r.time(attrNotFrom), ClaimID: claim, Reclaims: reclaims, Doubts: doubts, Last: last,
		}
	case state.StatusClaimed:
		return state.Claimed{
			Attempt: attempt, Lease: lease, Reclaims: reclaims, Doubts: doubts, Last: last, ClaimedAt: claimed,
		}
	case state.StatusProcessing:
		return state.Processing{
			Attempt: attempt, Lease: lease, Reclaims: reclaims, Doubts: doubts, Last: last, ClaimedAt: claimed, StartedAt: started,
		}
	case state.StatusCompleted:
		return state.Completed{
			Attempt: attempt, ClaimID: claim, StatusCode: r.int(attrCode), Answer: r.answer(),
			Model: r.string(attrModel), Tokens: r.tokens(), ClaimedAt: claimed, StartedAt: started, CompletedAt: ended,
		}
	case state.StatusFailed:
		return state.Failed{
			Attempt: attempt, ClaimID: claim, Reclaims: reclaims, Doubts: doubts, Reason: r.reason(),
			Denial: state.Denial(r.string(attrDenial)), Answer: r.answer(), Model: r.string(attrModel), Tokens: r.tokens(),
			ClaimedAt: claimed, StartedAt: started, FailedAt: ended,
		}
	case state.StatusCanceled:
		return state.Canceled{Attempt: attempt, ClaimID: claim, Last: last, StartedAt: started, CanceledAt: ended}
	default:
		r.fail(attrStatus, fmt.Errorf("unknown status %q", status))
		return nil
	}
}

func (r *reader) lease() state.Lease {
	return state.Lease{ClaimID: r.string(attrClaim), Worker: r.string(attrWorker), Expires: r.time(attrExpires)}
}

func (r *reader) answer() state.Span {
	return state.Span{
		Object: r.string(attrAnswerObject), Offset: r.int64(attrAnswerOffset), Length: r.int64(attrAnswerLength),
	}
}

func (r *reader) tokens() state.Tokens {
	return state.Tokens{
		Input: r.int64(attrInputTokens), Cached: r.int64(attrCachedTokens), Output: r.int64(attrOutputTokens),
		Reasoning: r.int64(attrReasoningTokens), Total: r.int64(attrTotalTokens),
	}
}

func (r *reader) reason() state.Reason {
	text, n, again := r.string(attrText), r.int64(attrNumber), r.bool(attrAgain)
	switch kind := state.Kind(r.string(attrReason)); kind {
	case state.KindRetryableHTTPStatus:
		return state.RetryableHTTPStatus{Status: int(n)}
	case state.KindNonRetryableHTTPStatus:
		return state.NonRetryableHTTPStatus{Status: int(n)}
	case state.KindTimeout:
		return state.Timeout{Error: text}
	case state.KindNetworkError:
		return state.NetworkError{Error: text}
	case state.KindRequestBuilderError:
		return state.RequestBuilderError{Error: text}
	case state.KindTaskTerminated:
		return state.TaskTerminated{Error: text, Deaths: int(n)}
	case state.KindResponseTooLarge:
		return state.ResponseTooLarge{Limit: n}
	case state.KindErrorInBody:
		return state.ErrorInBody{Status: int(n), Means: r.int(attrMeans), Again: again}
	case state.KindInvalidAnswer:
		return state.InvalidAnswer{Status: int(n), Error: text, Again: again}
	case state.KindRetryTooLate:
		return state.RetryTooLate{Last: text}
	case state.KindExpired:
		return state.Expired{Last: text, Called: again}
	default:
		r.fail(attrReason, fmt.Errorf("unknown reason %q", kind))
		return nil
	}
}
