package execute

// A settler does with messages what was decided, and enters it into the ledger.
type settler struct {
	kit

	ledger     *ledger
	isolation  *isolation
	visibility *extender
	requeuer   *requeuer
	deleter    *deleter
}

// settle gives j its fate. One that others have to go on with is only entered.
func (s *settler) settle(j *job, f fate) {
	var err error
	switch f := f.(type) {
	case acknowledge:
		s.deleter.add(j)
	case requeue:
		after := f.after
		if f.spread {
			after = s.jitter(after)
		}
		s.requeuer.requeue(j, after)
	case leaveHidden:
		s.visibility.drop(j)
	case withhold:
		if f.wait > 0 {
			err = s.visibility.withhold(j, f.wait)
		} else {
			s.visibility.drop(j)
		}
	case isolate:
		s.isolation.add(j)
	case releaseAtEnd, reconcile:
	}
	if err != nil {
		s.log.Warn("cannot hide a message", append(j.attrs(), errAttr(err))...)
	}
	for _, twin := range s.ledger.settle(j, f) {
		s.settle(twin, shared(f))
	}
}

// shared returns the fate of another message of a request: only one is needed.
func shared(f fate) fate {
	switch f.(type) {
	case acknowledge, leaveHidden:
		return f
	case requeue, withhold, releaseAtEnd, isolate, reconcile:
	}
	return requeue{after: unsure, spread: true}
}
