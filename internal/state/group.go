package state

// GroupSize is the most changes that a store applies in one call, which is what
// DynamoDB takes
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.multiplestatements.batching.html).
const GroupSize = 25

// CheckGroup returns ErrGroup unless cs may be applied in one call: they are at
// most GroupSize changes, each of another request.
func CheckGroup(cs []Change) error {
	seen := make(map[Key]bool, len(cs))
	for _, c := range cs {
		seen[c.spec.Key] = true
	}
	if len(cs) > GroupSize || len(seen) < len(cs) {
		return ErrGroup
	}
	return nil
}
