package jsonscan

import "bytes"

// shallow is how many levels of objects and arrays a text may have for it to be read
// on its reader's stack, of which they take up to 64 KB.
const shallow = 200

// isShallow reports whether text has so few, as far as its brackets tell.
func isShallow(text []byte) bool {
	return bytes.Count(text, []byte{'{'})+bytes.Count(text, []byte{'['}) <= shallow
}

// apart calls f, which reads a text that may be deep, in a goroutine of its own, and
// returns when it has. A value is read by recursion, and 10,000 levels take 2 MB of
// stack, which a goroutine has for as long as it lives.
func apart(f func()) {
	ended := make(chan any)
	go func() {
		defer func() { ended <- recover() }()
		f()
	}()
	if panicked := <-ended; panicked != nil {
		panic(panicked)
	}
}
