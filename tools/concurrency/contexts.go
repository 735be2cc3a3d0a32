package concurrency

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The parameters of the CDK app that take concurrency.
const (
	invocations = "invocations"
	submit      = "submitConcurrency"
)

// Contexts returns a deployment's parameters, as "name=value", with no more invocations of execute than fit, and what was done
// in a sentence. What cannot be read of them is left to the app to refuse.
func (l Limits) Contexts(all []string) (fitted []string, said string, err error) {
	asked, fine := value(all, invocations, Usual)
	reserved, fineToo := value(all, submit, 0)
	if !fine || !fineToo {
		return all, "", nil
	}
	got, err := l.Fit(asked, reserved)
	if err != nil {
		return nil, "", err
	}
	left := l.Unreserved - reserved - got
	if got >= asked {
		return all, fmt.Sprintf("concurrency: %d invocations of execute of the account's %d, and %d left to other functions",
			got, l.Total, left), nil
	}
	named := func(pair string) bool { return strings.HasPrefix(pair, invocations+"=") }
	fitted = append(slices.DeleteFunc(slices.Clone(all), named), invocations+"="+strconv.Itoa(got))
	return fitted, fmt.Sprintf("concurrency: %d invocations of execute instead of %d: the account has %d, of which %d are left to the API and "+
		"the flows (more: Service Quotas, Lambda, Concurrent executions)", got, asked, l.Total, left), nil
}

// value returns a parameter's number, of several the last one's as the CDK does, and whether it is one.
func value(all []string, name string, usual int) (int, bool) {
	for _, pair := range slices.Backward(all) {
		if text, found := strings.CutPrefix(pair, name+"="); found && text != "" {
			n, err := strconv.Atoi(text)
			return n, err == nil && n >= 0
		}
	}
	return usual, true
}
