package boot

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
)

// envMemory is the function's memory in MiB, as Lambda says it
// (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html).
const envMemory = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"

// limitMemory has the garbage collector keep to 85 % of the function's memory,
// unless Lambda names none or GOMEMLIMIT is set. The rest is for what Go does
// not count. Without it Go lets the heap double between two collections, and
// Lambda ends a function that has more than its memory. It returns what the
// collector keeps to, in bytes; 0: nothing.
func limitMemory() int64 {
	size, err := strconv.ParseInt(os.Getenv(envMemory), 10, 32)
	if err == nil && size > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(size << 20 / 100 * 85)
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	return 0
}
