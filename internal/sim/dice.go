package sim

import "time"

// A dice is a run of random numbers that follows from what it was rolled with
// and from nothing else: neither from when it was, nor from who came first.
type dice uint64

// roll returns the dice of a seed for something, told by its words.
func roll(seed uint64, words ...string) *dice {
	const (
		basis = 14695981039346656037 // FNV-1a's
		prime = 1099511628211
	)
	h := uint64(basis) ^ seed*prime
	for _, w := range words {
		for i := range len(w) {
			h = (h ^ uint64(w[i])) * prime
		}
		h = (h ^ 0xff) * prime // so that "a", "bc" is not "ab", "c"
	}
	d := dice(h)
	return &d
}

// next returns the next number, by splitmix64.
func (d *dice) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// float returns a number in [0, 1).
func (d *dice) float() float64 { return float64(d.next()>>11) / (1 << 53) }

// chance reports whether something happens that does with probability p.
func (d *dice) chance(p float64) bool { return d.float() < p }

// intn returns a number in [0, n); n is positive.
func (d *dice) intn(n int) int { return int(d.next() % uint64(n)) } //nolint:gosec // below n

// between returns a time in [lo, hi), to the nanosecond, so that two hardly
// ever fall together.
func (d *dice) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(d.float()*float64(hi-lo))
}

// one returns one of all.
func one[T any](d *dice, all ...T) T { return all[d.intn(len(all))] }
