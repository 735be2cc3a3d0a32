package limit

// A Choice is a route that a request may take.
type Choice struct {
	Weight int     // its share among the routes of its model
	Part   float64 // of that, by its health
	Open   bool    // calls may leave: it is not paused, and has call times and slots as far as is known
	Trial  bool    // it is paused, and due for a trial call
}

// Pick returns the index of the route that a request takes, given a random number
// in [0, 1), and -1 if there is none. A trial comes first, for it is one call; what
// a route does not get for its health or its limits goes to the others.
func Pick(choices []Choice, random float64) int {
	sum := 0.0
	for i, c := range choices {
		if c.Trial {
			return i
		}
		sum += c.share()
	}
	at, last := random*sum, -1
	for i, c := range choices {
		if c.share() == 0 {
			continue
		}
		last = i
		if at < c.share() {
			return i
		}
		at -= c.share()
	}
	return last
}

func (c Choice) share() float64 {
	if !c.Open {
		return 0
	}
	return float64(max(c.Weight, 1)) * c.Part
}
