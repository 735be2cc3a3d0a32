package state

// Tokens are numbers of tokens, of one answer or summed over many.
type Tokens struct {
	Input     int64
	Cached    int64 // of Input
	Output    int64
	Reasoning int64 // of Output
	Total     int64
}

// Plus returns the sum of u and v.
func (u Tokens) Plus(v Tokens) Tokens {
	return Tokens{
		Input: u.Input + v.Input, Cached: u.Cached + v.Cached,
		Output: u.Output + v.Output, Reasoning: u.Reasoning + v.Reasoning, Total: u.Total + v.Total,
	}
}
