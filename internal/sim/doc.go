// Package sim runs the whole system in one process: loader, workers, finalizer
// and API over services in memory, in virtual time, while everything goes wrong
// that may go wrong between them; and checks what was promised.
//
//	users ──▶ API ─▶ accept ─▶ flow.asl.json, interpreted ─▶ load, advance, park, abandon
//	  ▲                                    ▲                          │ messages
//	  │ counts, early results, files       │ wake                     ▼
//	checker ◀── every write ── execute ◀── event source ◀── queue, as SQS
//	  ▲                           │
//	  └───── every call ──── upstream
//
// The arrows are calls of ports. Each waits for its turn in one scheduler, which
// lets one go when all goroutines are blocked: in the order of times that the
// seed gives, and at the same instant of what they are, never of who came first.
// So a seed is a whole history, and replays exactly:
//
//	make sim SEED=250       replays a seed and tells its log
//	make sim SEEDS=5000     runs so many
//
// Between a port and its service lies the seed's choice of faults (faults.go):
// a process dies before or after a write, an answer is lost, a write comes late,
// a service throttles or is down. The queue (queue.go, source.go) loses, doubles
// and delays; the upstream (upstream.go) refuses, hangs, resets and
// answers with what is none; Step
// Functions (flow.go, lambda.go) gives up tasks that live on. Seeds with an even
// number are in liveness mode: from some moment on nothing goes wrong any more,
// and then everything must come to its end soon, and well. The others are in
// safety mode: faults never end, and nothing may ever be wrong.
//
// A seed has few kinds of faults or many, and now and then one of them all the
// time (plan.go), since one hides what another would show; of seeds in liveness
// mode a part has none at all, and are held to what then takes how long.
//
// What holds is told by rules (check.go while it runs, check_worker.go for how a
// worker works, check_flow.go for what is enqueued, check_user.go for what users
// see, check_end.go once all is over). They hold by a worker's own clock at its
// last check before the call. That they notice is shown by bugs that are planted
// (testdata/bugs): each must be found within 500 seeds.
//
// What a use case does between two calls of ports is its own. But it must not
// hold a mutex across a call, nor let what it does depend on which of its
// goroutines runs first when they are woken at the same instant.
package sim
