// Package boot is what every Lambda needs before its first event: its
// configuration from the environment, a logger, a metrics writer, AWS's
// configuration and the upstream's key.
//
// Only it and main.go read the environment. It knows AWS's SDK but no store,
// no queue and no use case: a main.go wires those.
package boot
