package batch

import (
	"slices"
	"strings"
)

// The most models that a batch's record names, and the most bytes that their
// names take together: the record is written often, and a write costs by size.
const (
	MaxModels     = 64
	maxModelBytes = 2048
)

// A ModelSet gathers which models the requests of a file name. Its memory is
// bounded. Its zero value is empty.
type ModelSet struct {
	names []string // in the order in which they came
	bytes int
	mixed bool // there are more
}

// Add adds a model by its name; an empty one is none.
func (s *ModelSet) Add(name string) {
	if name == "" || s.mixed || slices.Contains(s.names, name) {
		return
	}
	if s.bytes += len(name); len(s.names) == MaxModels || s.bytes > maxModelBytes {
		s.names, s.mixed = nil, true
		return
	}
	s.names = append(s.names, strings.Clone(name)) // not the line that it came from
}

// Names returns the models in the order in which they came, and false if there
// are more than are kept: then it returns none.
func (s *ModelSet) Names() (names []string, all bool) { return slices.Clone(s.names), !s.mixed }

// Has reports whether name was added, and is kept.
func (s *ModelSet) Has(name string) bool { return slices.Contains(s.names, name) }

// NameModels records which models b's requests name, unless b is validated.
func (b *Batch) NameModels(s ModelSet) {
	if !b.Load.Validated {
		b.Models, b.ModelsMixed = s.names, s.mixed
	}
}

// ModelIndex returns by what number b's messages and requests name a model: its
// place among b's, counted from 1, or 0 if it is not among them.
func (b *Batch) ModelIndex(name string) int { return slices.Index(b.Models, name) + 1 }

// Model returns the model that ModelIndex names so, and false if it is not known
// before the body is read.
func (b *Batch) Model(index int) (string, bool) {
	if index < 1 || index > len(b.Models) {
		return "", false
	}
	return b.Models[index-1], true
}
