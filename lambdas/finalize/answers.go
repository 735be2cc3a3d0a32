//go:build !upgrade

package main

import "github.com/musketry/musketry/internal/batch"

// answers are what this version answers.
func answers() map[string]batch.FlowAnswer { return batch.FlowAnswers() }
