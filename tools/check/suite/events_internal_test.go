package suite

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCountEvents(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		quiet  bool
		events []string
		want   Sum
		shown  []string
		hidden []string
	}{
		"tests and subtests count each": {
			events: []string{
				`{"Action":"output","Package":"p","Test":"TestA","Output":"quiet\n"}`,
				`{"Action":"pass","Package":"p","Test":"TestA/one"}`,
				`{"Action":"pass","Package":"p","Test":"TestA"}`,
				`{"Action":"skip","Package":"p","Test":"TestB"}`,
				`{"Action":"pass","Package":"p","Elapsed":1.5}`,
			},
			want: Sum{Passed: 2, Skipped: 1}, shown: []string{"ok    p 1.5s"}, hidden: []string{"quiet"},
		},
		"tests that take long are told, the longest first": {
			events: []string{
				`{"Action":"pass","Package":"p","Test":"TestA","Elapsed":21}`,
				`{"Action":"pass","Package":"p","Test":"TestB/one","Elapsed":66}`,
				`{"Action":"pass","Package":"p","Test":"TestB","Elapsed":66.4}`,
				`{"Action":"pass","Package":"p","Test":"TestC","Elapsed":19}`,
				`{"Action":"pass","Package":"q","Test":"TestD","Elapsed":50}`,
				`{"Action":"pass","Package":"p","Elapsed":70}`,
			},
			want: Sum{Passed: 5}, shown: []string{"ok    p 70.0s\n          TestB 66s\n          TestA 21s\n"}, hidden: []string{"TestB/one", "TestC", "TestD"},
		},
		"where it is quiet, failures alone are shown": {
			quiet: true,
			events: []string{
				`{"Action":"output","Package":"p","Test":"TestA","Output":"skipped, because\n"}`,
				`{"Action":"skip","Package":"p","Test":"TestA"}`,
				`{"Action":"pass","Package":"p","Elapsed":1.5}`,
				`{"Action":"output","Package":"q","Test":"TestB","Output":"got 1, want 2\n"}`,
				`{"Action":"fail","Package":"q","Test":"TestB"}`,
				`{"Action":"fail","Package":"q"}`,
			},
			want: Sum{Failed: 1, Skipped: 1}, shown: []string{"got 1, want 2", "FAIL  q"}, hidden: []string{"because", "ok"},
		},
		"a failure shows its output and its package counts no second time": {
			events: []string{
				`{"Action":"output","Package":"p","Test":"TestA","Output":"got 1, want 2\n"}`,
				`{"Action":"fail","Package":"p","Test":"TestA"}`,
				`{"Action":"output","Package":"p","Output":"FAIL\n"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			want: Sum{Failed: 1}, shown: []string{"got 1, want 2", "FAIL  p"},
		},
		"a package that does not build is a failure": {
			events: []string{
				`{"ImportPath":"p [p.test]","Action":"build-output","Output":"undefined: x\n"}`,
				`{"ImportPath":"p [p.test]","Action":"build-fail"}`,
				`{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}`,
			},
			want: Sum{Failed: 1}, shown: []string{"undefined: x"},
		},
		"a process that dies is a failure": {
			events: []string{
				`{"Action":"output","Package":"p","Output":"panic: no\n"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			want: Sum{Failed: 1}, shown: []string{"panic: no"},
		},
		"a package without tests counts nothing": {
			events: []string{`{"Action":"skip","Package":"p"}`}, want: Sum{},
		},
		"what is no event is told": {
			events: []string{`warning: odd`}, want: Sum{}, shown: []string{"warning: odd"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			r := &runner{cfg: Config{Out: &out}, quiet: tt.quiet}
			got, err := r.countEvents(strings.NewReader(strings.Join(tt.events, "\n")))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			for _, text := range tt.shown {
				if !strings.Contains(out.String(), text) {
					t.Errorf("%q is not shown in %q", text, out.String())
				}
			}
			for _, text := range tt.hidden {
				if strings.Contains(out.String(), text) {
					t.Errorf("%q is shown in %q", text, out.String())
				}
			}
		})
	}
}

func TestSumIsTheLastLine(t *testing.T) {
	t.Parallel()
	sum := Sum{Passed: 12, Failed: 1}
	sum.add(Sum{Passed: 1, Skipped: 2})
	if got, want := sum.String(), "13 passed, 1 failed, 2 skipped"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
