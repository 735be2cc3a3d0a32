//go:build race

package main

const (
	// raceTimes is how many times the memory the race detector takes, which keeps
	// shadows of what is written
	// (https://go.dev/doc/articles/race_detector#Runtime_Overheads says 5 to 10).
	// It takes as much more time, too.
	raceTimes = 2

	hostileLines, largeAnswers = 2, 5
)
