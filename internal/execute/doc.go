// Package execute is the worker: it takes messages that each name a request,
// claims the request, calls the upstream and records what came of it.
//
// A message goes down this list, from a delivery to its fate; the files below
// that are what the stages stand on. An invocation leads each message from stage
// to stage, for as many deliveries as come; a file refers to those below it alone.
//
//	worker.go      a process, and what bounds one invocation of it
//	invocation.go  a worker as others see it: leads each message from stage to stage
//	receive.go     receives messages while there is room for them
//	intake.go      reads the message; lets on what may be called now
//	lines.go       reads its line, when there is room for its call
//	limiter.go     chooses a route; waits for its permit
//	supply.go      has permits for a route's jobs, from what the fleet shares
//	claim.go       claims the request and stores it as processing, in one write
//	call.go        makes one attempt
//	pass.go        a call's way and permit, and what its end says of the route
//	answer.go      what a call's end means; pure
//	routing.go     where a call may go
//	giveback.go    gives back what was claimed and not called
//	retry.go       a failure worth another attempt: pending again, hidden for the backoff
//	buffer.go      gathers outcomes until they are worth a segment
//	commit.go      persists them: segment, requests, journal, counts
//	reconcile.go   has outcomes counted that others recorded; wakes the flow
//	settle.go      does with the message what is decided
//	outcome.go     what ends a request; pure
//	requests.go    reads and writes of requests
//	gather.go      gathers changes of many jobs, for one write
//	lane.go        what this worker has of a route
//	portion.go     how many places a route may take; pure
//	places.go      for how many calls, and messages beyond, there is room
//	gate.go        whether a call may start now
//	durations.go   how long calls take
//	heartbeat.go   shows others that this worker lives; aborts all calls when nobody hears it
//	poll.go        looks at the batches; aborts the calls of those that stop
//	delete.go      deletes what is acknowledged while others still run
//	requeue.go     shows messages again
//	extend.go      extends the visibility timeout of messages in short steps
//	isolation.go   what may only run alone
//	ledger.go      where every message stands, and in the end its fate
//	job.go         a message on its way
//	room.go        the memory that calls share
//	chunks.go      parts of the input, each read once for all the lines in it
//	fate.go        what becomes of a message, and why; pure
//	shards.go      this process's shards of the batches' counters
//	kit.go         clock, chance, log, metrics, patience
//	crew.go        goroutines that are kept for the next function
//	errors.go      how calls fail
//	ports.go       what a worker works with
//
// What becomes of a message is decided in one place, by the cause for which it
// goes no further, and by whether it is stored that its request is this worker's:
//
//	cause            not claimed                claimed
//	counted          acknowledge                acknowledge
//	batch ended      acknowledge                acknowledge
//	request ended    reconcile                  reconcile
//	batch stopping   leave hidden               leave hidden
//	worker stopping  requeue                    release at end
//	no time          requeue after 1s, spread   release at end
//	poison           isolate                    isolate
//	suspect          requeue after it, spread   requeue after it, spread
//	leased           requeue after it, spread   requeue after it, spread
//	backoff          requeue after it           requeue after it
//	limited          requeue after it           release at end
//	overdue          requeue after 10s, spread  requeue after 10s, spread
//	outrun           requeue after 10s, spread  requeue after 10s, spread
//	superseded       requeue after 10s, spread  requeue after 10s, spread
//	unsent           requeue after 10s, spread  release at end
//	no heartbeat     requeue after 10s, spread  requeue after 10s, spread
//	failed           requeue after 10s, spread  release at end
//	missing          requeue after 10m, spread  requeue after 10m, spread
//	unreadable       requeue after 15m          requeue after 15m
//	unwritten        release at end             release at end
//	unwritten wait   withhold for it            withhold for it
//	uncounted        release at end             release at end
//
// A message is acknowledged only if its request or its batch is terminal. A
// request that was claimed and not called is given back first, and its message is
// one of the first column then, unless its batch or this worker stops. What else
// is left needs nothing undone: the worker is marked ended, which ends its leases,
// and only then its messages are released.
//
// The package knows requests, batches and retry policies. It must not know a
// cloud, HTTP, an environment or how messages come in.
package execute
