package suite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// ownClouds are the end-to-end tests that start a cloud of their own. Some lead the environment of their process to it: beside
// others they run in another process alone.
func ownClouds() []string {
	return []string{"TestAccountOfTen", "TestFaults", "TestLargestFile", "TestTwoCloudsSideBySide", "TestUpgrade"}
}

// endToEnd runs the end-to-end tests: those on the cloud that is up, and beside them, since all of them wait more than they
// compute, those on clouds of their own, of which two live at a time at most. What the latter say is told at the end.
func (r *runner) endToEnd(ctx context.Context, packages []string) {
	const patience = "40m"
	// Once, before both: two at a time would each compile what the other does.
	build := slices.Concat([]string{"test", "-race", "-tags", "e2e", "-c", "-o", os.DevNull}, packages)
	if !r.command(ctx, "build of the end-to-end tests", "go", build...) {
		return
	}
	own := "^(" + strings.Join(ownClouds(), "|") + ")$"
	var told bytes.Buffer
	beside := *r
	beside.cfg.Out, beside.sum, beside.environ = &told, Sum{}, slices.Clip(r.environ)
	var group sync.WaitGroup
	group.Go(func() {
		beside.goTest(ctx, "end-to-end tests on clouds of their own", packages, "-timeout", patience, "-parallel", "2", "-run", own)
	})
	r.goTest(ctx, "end-to-end tests", packages, "-timeout", patience, "-skip", own)
	group.Wait()
	fmt.Fprint(r.cfg.Out, told.String())
	r.sum.add(beside.sum)
}
