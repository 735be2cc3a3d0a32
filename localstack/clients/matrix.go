package clients

// A Case is what a client is tried with.
type Case string

// The cases. Each has a batch of Lines requests but List, where it is at least one.
const (
	Good    Case = "good"    // All are answered.
	Again   Case = "again"   // Each is refused twice with 503, then answered.
	Failing Case = "failing" // Each is refused with 400: there is no output file.
	Cancel  Case = "cancel"  // None is answered until the client cancels.
	List    Case = "list"    // The client finds its batch among all.
)

// Lines is how many requests a program's batch has.
const Lines = 3

// Cases are all, in the order of the page.
func Cases() []Case { return []Case{Good, Again, Failing, Cancel, List} }

// Directives are what the name of a case's model tells the stand-in.
func (c Case) Directives() string {
	switch c {
	case Again:
		return ":status=503x2"
	case Failing:
		return ":status=400"
	case Cancel:
		return ":hang"
	case Good, List:
	}
	return ""
}

// Calls is how often the provider is called for a whole batch of a case, or -1 where that is not certain.
func (c Case) Calls() int {
	switch c {
	case Good, Failing:
		return Lines
	case Again:
		return 3 * Lines
	case Cancel, List:
	}
	return -1
}

// A Client is a package of a language's registry.
type Client struct {
	Name     string // As its users say.
	Language string
	Package  string // As its registry has it.
	Lock     string // The file that pins it, from the checkout's root.

	// Folder has its program, below this package's. A client without one is driven by an end-to-end test of its own, Test.
	Folder, Test string

	Note string // What its users must know.
	Not  []Gap  // What does not work.
}

// A Gap is what a client does not have, or does wrongly.
type Gap struct {
	Case Case
	Why  string

	// At is the file and line of the client's package where that is seen, "file:line", and Line what stands there.
	At, Line string

	// Says is part of what the client's program then says. It is "" of what a client does not have: no program is run.
	Says string
}

// Gap returns what keeps a case from working, or false if it works.
func (c Client) Gap(of Case) (Gap, bool) {
	for _, gap := range c.Not {
		if gap.Case == of {
			return gap, true
		}
	}
	return Gap{}, false
}
