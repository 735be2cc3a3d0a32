//go:build !race

package main

const (
	raceTimes = 1

	hostileLines, largeAnswers = 18, 60
)
