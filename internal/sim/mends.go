package sim

// mended says which faults of the system are mended, and so which rules hold.
type mended struct {
	retryAfter bool // a Retry-After is kept although its write fails (row d)
	lateRetry  bool // no retry starts within stop-before-deadline (row e)
	killed     bool // what killed workers did not count is counted (row b)
	counts     bool // counts never go back, each of them (row c)
	lowWater   bool // the flow is woken when half a window is done (row a)
	waiting    bool // what only waits is not enqueued again (row f)
	missing    bool // a missing item is created at the seal (row h)
	commits    bool // the seal waits for workers that still commit (row k)
	eager      bool // a call starts when it can (row m)
	soon       bool // 20 minutes after the last fault all has ended (rows a, b and g)
}

// mends are those of now. A rule is switched on with the mend that makes it
// true, and never off again.
var mends = mended{ //nolint:gochecknoglobals // a constant, which Go has none of for structs
	soon: true, retryAfter: true, lateRetry: true, killed: true, counts: true, lowWater: true, waiting: true, missing: true,
	commits: true, eager: true,
}
