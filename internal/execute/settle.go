package execute

// A settler does with messages what was decided, and enters it into the ledger.
type settler struct {
	kit

	ledger     *ledger
	visibility *extender
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
		err = s.visibility.requeue(j, after)
	case leaveHidden:
		s.visibility.drop(j)
	case withhold:
		if f.wait > 0 {
			err = s.visibility.withhold(j, f.wait)
		} else {
			s.visibility.drop(j)
		}
	case releaseAtEnd, isolate, reconcile:
	}
	if err != nil {
		s.log.Warn("cannot hide a message", append(j.attrs(), errAttr(err))...)
	}
	s.ledger.settle(j, f)
}
