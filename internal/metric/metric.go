// Package metric names all that Musketry counts. docs/metrics.md says what each
// counter means and which labels it has. It knows nothing else.
package metric

// The counters.
const (
	Calls            = "calls_total"
	Outcomes         = "outcomes_total"
	Retries          = "retries_total"
	RetriesDenied    = "retry_denied_total"
	RetryableAnswers = "http_status_retryable_total"

	Reclaims           = "reclaims_total"
	ClaimConflicts     = "claim_conflicts_total"
	GivenBack          = "given_back_total"
	HeartbeatFailures  = "heartbeat_failures_total"
	ReceiveFailures    = "receive_failures_total"
	LimitFailures      = "limit_failures_total"
	SlotsRefused       = "slots_refused_total"
	JournalFailures    = "journal_failures_total"
	CancelPollFailures = "cancellation_poll_errors_total"
	Panics             = "panics_total"

	FlowRestarts   = "flow_restarts_total"
	OverdueBatches = "overdue_batches_total"
	DeadLetters    = "dead_letters_total"

	AuthFailures = "auth_failures_total"

	CallsInFlight = "calls_in_flight"
	QueueAge      = "queue_age_seconds"
	SegmentLines  = "segment_lines"
	SegmentBytes  = "segment_bytes"

	AWSCalls = "aws_calls_total"
	AWSUnits = "aws_units_total"

	InjectedFaults = "faults_injected_total"
)
