package boot

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
)

// envMemory is the function's memory in MiB, as Lambda says it
// (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html).
const envMemory = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"

// processorMemory are the MiB of memory with which a function has one processor
// (https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
const processorMemory = 1769

// ballastPart is what part of the function's memory is ballast.
const ballastPart = 16

// ballast counts as memory in use, so that garbage is not collected before there is
// as much of it: a worker whose calls wait has some 10 MB in use, and would collect
// that every few dozen requests. Nobody writes to it, so it takes no memory of the
// machine's (https://tip.golang.org/doc/gc-guide#GOGC).
var ballast []byte //nolint:gochecknoglobals // for as long as the process lives

// functionMemory is the function's memory in MiB; 0: Lambda names none.
func functionMemory() int {
	size, err := strconv.ParseInt(os.Getenv(envMemory), 10, 32)
	if err != nil || size < 0 {
		return 0
	}
	return int(size)
}

// limitProcessors has Go's code run on as many processors as the function has: with
// less than one it sees two all the same, and would wake the other thread for what
// the first does sooner. It does nothing where Lambda names no memory or GOMAXPROCS
// is set.
func limitProcessors() {
	if size := functionMemory(); size > 0 && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min((size+processorMemory-1)/processorMemory, runtime.NumCPU()))
	}
}

// limitMemory has the garbage collector keep to 85 % of the function's memory,
// unless Lambda names none or GOMEMLIMIT is set. The rest is for what Go does
// not count. Without it Go lets the heap double between two collections, and
// Lambda ends a function that has more than its memory. It returns what the
// collector keeps to for what is really in use, in bytes; 0: nothing.
func limitMemory() int64 {
	if size := functionMemory(); size > 0 && os.Getenv("GOMEMLIMIT") == "" {
		limit := int64(size) << 20 / 100 * 85
		ballast = make([]byte, size<<20/ballastPart)
		debug.SetMemoryLimit(limit + int64(len(ballast)))
		return limit
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	return 0
}
