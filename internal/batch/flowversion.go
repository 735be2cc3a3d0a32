package batch

// FlowVersion is the version of the flow's definition (infra/stack/flow.asl.json)
// that this code comes with. The definition says it with each task: an execution
// keeps the definition that it was started with, while the functions change under
// it, in both directions
// (https://docs.aws.amazon.com/step-functions/latest/apireference/API_UpdateStateMachine.html).
// What came before it said none, which is 0.
//
// A definition knows every answer that those before it knew. A new one has its
// version here, and stands in [FlowAnswers] with what older ones are told instead.
const FlowVersion = 1

// A FlowAnswer is what a task answers, as far as definitions know it.
type FlowAnswer struct {
	Since   int    // the first version of the definition that knows it
	Instead string // what older ones are told; empty if Since is 0
}

// FlowAnswers are all that tasks answer.
func FlowAnswers() map[string]FlowAnswer {
	return map[string]FlowAnswer{
		"load": {}, "advance": {}, "park_long": {}, "park_medium": {}, "park_short": {}, "end": {},
	}
}

// KnownTo returns answer as a definition of that version knows it, by what it is
// told instead while it does not. What answers does not have is returned as it is.
func KnownTo(answers map[string]FlowAnswer, version int, answer string) string {
	for range answers { // none is passed twice
		known, ok := answers[answer]
		if !ok || known.Since <= version {
			break
		}
		answer = known.Instead
	}
	return answer
}
