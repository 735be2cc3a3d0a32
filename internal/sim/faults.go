package sim

import (
	"errors"
	"time"
)

// A fault is a sort of what goes wrong between the parts.
type fault string

// The faults. Each is counted when it occurs, and one that never did over all
// seeds of a run fails the run.
const (
	crashBefore        fault = "a process dies before its write"
	crashAfter         fault = "a process dies after its write"
	crashCalling       fault = "a process dies during a call"
	killedAtLimit      fault = "a process is killed at its time limit"
	frozen             fault = "a process freezes and thaws"
	skewed             fault = "a process's clock is off"
	throttled          fault = "a service throttles"
	statementThrottled fault = "a write of a group is throttled alone"
	groupTorn          fault = "a group of writes is made in part"
	answerLost         fault = "a write takes effect and its answer is lost"
	writeLate          fault = "a write takes effect after its caller gave up"
	connectionDead     fault = "a connection is dead and nobody says so"
	slowService        fault = "a service is slow"
	serviceDown        fault = "one operation fails for minutes"
	readBroken         fault = "an object's reading breaks off"
	messageTwice       fault = "a message is duplicated"
	messageLost        fault = "a message is lost"
	messageLate        fault = "a message is late"
	messageShown       fault = "a message is received while it is hidden"
	deleteLost         fault = "a message's deletion is lost"
	deadLetter         fault = "a message is received too often"
	flowStopped        fault = "a flow is stopped from outside"
	noWorkers          fault = "no worker comes for half an hour"
	wakeLost           fault = "a wake is lost"
	tokenLost          fault = "a parked flow is never woken"
	taskThrottled      fault = "the flow's tasks are throttled for long"
	taskLives          fault = "a task is given up by the flow and lives on"
	loaderLives        fault = "a loader is given up by the flow and lives on"
	finalizeTwice      fault = "a finalizer runs twice at once"
	canceled           fault = "a batch is cancelled"
	lineCanceled       fault = "a single request is cancelled"
	dueSoon            fault = "a batch's deadline comes early"
	upstreamDown       fault = "the upstream is dead for a while"
	upstreamSlow       fault = "the upstream is slow for a while"
	upstreamHangs      fault = "the upstream does not answer"
	upstreamResets     fault = "the upstream resets a connection"
	upstreamErrs       fault = "the upstream fails with a 500"
	upstreamLimits     fault = "the upstream refuses with a Retry-After"
	keyMissing         fault = "a key is missing for a moment"
	routeRefuses       fault = "a route refuses all calls with a Retry-After"
	routeLimited       fault = "a route has limits"
	upstreamRefuses    fault = "the upstream refuses for good"
	upstreamOdd        fault = "the upstream answers with what is no answer"
	poisonous          fault = "a request kills whoever calls it"
	badFile            fault = "a batch's file is bad"
	itemMissing        fault = "a request's item is missing"
)

// allFaults returns every fault that a seed may have.
func allFaults() []fault {
	return []fault{
		crashBefore, crashAfter, crashCalling, killedAtLimit, frozen, skewed, throttled, statementThrottled, groupTorn, answerLost, writeLate,
		connectionDead, slowService, serviceDown, readBroken, messageTwice, messageLost, messageLate, messageShown, deleteLost,
		deadLetter, flowStopped, noWorkers, wakeLost, tokenLost, taskThrottled, taskLives, loaderLives, finalizeTwice, canceled, lineCanceled, dueSoon,
		upstreamDown, upstreamSlow, upstreamHangs, upstreamResets, upstreamErrs, upstreamLimits, keyMissing, routeRefuses, routeLimited, upstreamRefuses,
		upstreamOdd,
		poisonous, badFile, itemMissing,
	}
}

// allPasses returns the transitions of which each must be seen in a run of some
// hundred seeds.
func allPasses() []string {
	return []string{
		"batch validating to in_progress", "batch validating to cancelling", "batch validating to failed",
		"batch in_progress to cancelling", "batch in_progress to finalizing", "batch cancelling to finalizing",
		"batch finalizing to cancelled", "batch finalizing to completed", "batch finalizing to expired",
		"request created pending", "request created canceled", "request pending to processing", "request pending to failed",
		"request pending to canceled", "request processing to completed", "request processing to failed",
		"request processing to canceled", "request processing to pending", "request processing to processing",
		"reclaim of a dead worker's", "reclaim of a ended worker's", "reclaim of a stale worker's",
		"conflict of a request", "conflict of a record", "catch of ParkLong", "catch of ParkMedium", "catch of ParkShort",
		"task load load", "task load advance", "task advance end", "task advance park_long",
		"task advance park_medium", "task advance park_short", "task park ", "tick",
	}
}

// What a service that fails answers.
var (
	errThrottled = errors.New("sim: throttled")
	errTorn      = errors.New("sim: the connection broke in the middle of a group")
	errReset     = errors.New("sim: connection reset")
	errBroken    = errors.New("sim: the answer broke off")
)

// An operation is what a process asks of a service.
type operation struct {
	name   string // Apply, PutCounter, …
	key    string // what it is about
	writes bool
	by     string // the process
	worker bool   // which is one of execute
}

// service returns the operation that is down, or slow, where o is.
func (o operation) service() string {
	if o.name == "ApplyAll" {
		return "Apply"
	}
	return o.name
}

// A fate is what becomes of an operation.
type fate struct {
	kind  fault         // empty: none
	delay time.Duration // until it takes effect
	late  time.Duration // how long after its caller gave up it still does; 0: never
	err   error         // of an answer that is lost; nil: silence
	after bool          // it freezes its process only once it has taken effect
}

// fate rolls what becomes of o.
func (w *world) fate(what string, o operation) fate {
	d := w.sched.dice(what)
	f := fate{delay: d.between(500*time.Microsecond, 8*time.Millisecond)}
	if w.plan.meddle != nil {
		wait, err := w.plan.meddle(w, o)
		if f.delay += wait; err != nil {
			f.kind = throttled
		}
	}
	if w.calm() {
		return f
	}
	switch now := w.sched.now(); {
	case during(w.plan.outages, o.service(), now) && d.chance(0.9):
		f.kind, f.delay = serviceDown, d.between(time.Millisecond, 200*time.Millisecond)
		return f
	case during(w.plan.crawls, o.service(), now):
		f.kind, f.delay = slowService, d.between(time.Second, 14*time.Second)
		return f
	}
	rates := w.plan.rates
	switch {
	case w.plan.deadly && !o.worker:
	case d.chance(rates[throttled]):
		f.kind = throttled
	case o.name == "Create" && d.chance(w.plan.stuck):
		f.kind = frozen
	case o.writes && d.chance(rates[crashBefore]):
		f.kind = crashBefore
	case o.writes && d.chance(rates[crashAfter]):
		f.kind = crashAfter
	case o.writes && d.chance(rates[answerLost]):
		f.kind, f.err = answerLost, one(d, errReset, nil)
	case o.writes && d.chance(rates[writeLate]):
		f.kind, f.delay, f.late = writeLate, d.between(10*time.Second, 40*time.Second), d.between(time.Millisecond, 10*time.Second)
	case d.chance(rates[connectionDead]):
		f.kind, f.delay = connectionDead, d.between(10*time.Second, time.Minute)
		if o.worker {
			f.delay = 15 * time.Minute // as long as TCP takes, unless its caller has a limit
		}
	case d.chance(rates[frozen]):
		f.kind, f.after = frozen, d.chance(0.5)
	case d.chance(rates[slowService]):
		f.kind, f.delay = slowService, d.between(50*time.Millisecond, 20*time.Second)
	}
	return f
}
