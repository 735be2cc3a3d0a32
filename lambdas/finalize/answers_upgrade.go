//go:build upgrade

package main

import "github.com/musketry/musketry/internal/batch"

// answers are those of a version to come, as localstack/e2e.TestUpgrade needs it:
// its definition has a state more, look, which it is told instead of most parks.
func answers() map[string]batch.FlowAnswer {
	all := batch.FlowAnswers()
	all["look"] = batch.FlowAnswer{Since: batch.FlowVersion + 1, Instead: "park_short"}
	for _, park := range []string{"park_long", "park_medium"} {
		all[park] = batch.FlowAnswer{Since: batch.FlowVersion + 2, Instead: "look"}
	}
	return all
}
