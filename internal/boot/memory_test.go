package boot_test

import (
	"bytes"
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/musketry/musketry/internal/boot"
)

func TestStartLimitsMemory(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("AWS_REGION", "eu-central-1")
	for _, tc := range []struct {
		size, own string
		want      int64
	}{
		{"", "", before},
		{"lots", "", before},
		{"-1", "", before},
		{"1024", "2GiB", before}, // whoever sets Go's own variable knows why
		{"1024", "", 1024 << 20 / 100 * 85},
	} {
		t.Setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", tc.size)
		t.Setenv("GOMEMLIMIT", tc.own)
		kit, err := boot.Start(t.Context(), &bytes.Buffer{}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if kit.Memory != tc.want && (kit.Memory != 0 || tc.want < math.MaxInt64) {
			t.Errorf("memory %q, GOMEMLIMIT %q: there are %d bytes, want %d", tc.size, tc.own, kit.Memory, tc.want)
		}
		limit := tc.want
		if tc.want != before {
			limit += 64 << 20 // the ballast, which is no memory
		}
		if got := debug.SetMemoryLimit(-1); got != limit {
			t.Errorf("memory %q, GOMEMLIMIT %q: the limit is %d, want %d", tc.size, tc.own, got, limit)
		}
	}
}

func TestStartLimitsProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	memory := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(memory)
	t.Setenv("AWS_REGION", "eu-central-1")
	most := runtime.NumCPU()
	for _, tc := range []struct {
		size, own string
		want      int
	}{
		{"", "", most},
		{"512", "", 1},
		{"1769", "", 1},
		{"1770", "", min(2, most)},
		{"10240", "", min(6, most)},
		{"512", "2", most}, // whoever sets Go's own variable knows why
	} {
		runtime.GOMAXPROCS(most)
		t.Setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", tc.size)
		t.Setenv("GOMAXPROCS", tc.own)
		if _, err := boot.Start(t.Context(), &bytes.Buffer{}, time.Now); err != nil {
			t.Fatal(err)
		}
		if got := runtime.GOMAXPROCS(0); got != tc.want {
			t.Errorf("memory %q, GOMAXPROCS %q: %d processors, want %d", tc.size, tc.own, got, tc.want)
		}
	}
}

// TestGarbageIsCollectedSeldom makes much garbage while little is in use: it is collected a few times, and no memory is taken for that.
func TestGarbageIsCollectedSeldom(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")
	if _, err := boot.Start(t.Context(), &bytes.Buffer{}, time.Now); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var from, to runtime.MemStats
	runtime.ReadMemStats(&from)
	for range 512 << 10 {
		kept = make([]byte, 1<<10)
	}
	runtime.ReadMemStats(&to)
	if cycles := to.NumGC - from.NumGC; cycles > 8 {
		t.Errorf("512 MB of garbage were collected in %d cycles", cycles)
	}
}

var kept []byte
