package batch_test

import (
	"testing"

	"github.com/musketry/musketry/internal/batch"
)

// TestKnownTo tells definitions of all versions what they know, through several
// that they do not.
func TestKnownTo(t *testing.T) {
	t.Parallel()
	answers := batch.FlowAnswers()
	answers["look"] = batch.FlowAnswer{Since: 2, Instead: "park_short"}
	answers["look_twice"] = batch.FlowAnswer{Since: 4, Instead: "look"}
	for _, tt := range []struct {
		version      int
		answer, want string
	}{
		{0, "advance", "advance"},
		{0, "look", "park_short"},
		{1, "look", "park_short"},
		{2, "look", "look"},
		{9, "look", "look"},
		{0, "look_twice", "park_short"},
		{3, "look_twice", "look"},
		{4, "look_twice", "look_twice"},
		{0, "", ""},
		{0, "nothing of the sort", "nothing of the sort"},
	} {
		if got := batch.KnownTo(answers, tt.version, tt.answer); got != tt.want {
			t.Errorf("version %d is told %q for %q, want %q", tt.version, got, tt.answer, tt.want)
		}
	}
}

// TestOldDefinitionsAreToldWhatTheyKnow follows each answer down to one that the
// first definition knew.
func TestOldDefinitionsAreToldWhatTheyKnow(t *testing.T) {
	t.Parallel()
	answers := batch.FlowAnswers()
	for answer, known := range answers {
		if got := answers[batch.KnownTo(answers, 0, answer)]; got.Since != 0 {
			t.Errorf("the first definition is told %q, which it does not know, for %q", batch.KnownTo(answers, 0, answer), answer)
		}
		if known.Since > batch.FlowVersion {
			t.Errorf("%q is known since version %d, and the definition is %d", answer, known.Since, batch.FlowVersion)
		}
	}
}
