package boot_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/boot"
	"github.com/musketry/musketry/internal/route"
)

func TestRead(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		env   map[string]string
		needs []string
		want  boot.Config
		says  []string // in the error; none: no error
	}{
		"whole": {
			env: map[string]string{
				boot.EnvTable: "t", boot.EnvBucket: "b", boot.EnvQueueURL: "q", boot.EnvDeadLettersURL: "d", boot.EnvFlowARN: "f",
				boot.EnvUpstreamBaseURL: "u", boot.EnvUpstreamKeyParameter: "k",
				boot.EnvMessageGroups: "on", boot.EnvUpstreamAllowPrivate: "on", boot.EnvLogLevel: "debug",
			},
			needs: []string{boot.EnvTable, boot.EnvBucket},
			want: boot.Config{
				Table: "t", Bucket: "b", QueueURL: "q", DeadLettersURL: "d", FlowARN: "f", UpstreamBaseURL: "u", UpstreamKeyParameter: "k",
				MessageGroups: true, UpstreamAllowPrivate: true, LogLevel: slog.LevelDebug, Settings: boot.DefaultSettings(),
			},
		},
		"nothing needed": {want: boot.Config{Settings: boot.DefaultSettings()}},
		"missing": {
			env:   map[string]string{boot.EnvBucket: " "},
			needs: []string{boot.EnvTable, boot.EnvBucket},
			says:  []string{boot.EnvTable, boot.EnvBucket},
		},
		"bad values": {
			env: map[string]string{
				boot.EnvMessageGroups: "yes", boot.EnvUpstreamAllowPrivate: "yes", boot.EnvUpstreamCA: "/etc/ca.pem", boot.EnvLogLevel: "loud",
			},
			says: []string{boot.EnvMessageGroups, boot.EnvUpstreamAllowPrivate, boot.EnvUpstreamCA, boot.EnvLogLevel},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lookup := func(name string) (string, bool) {
				value, ok := tc.env[name]
				return value, ok
			}
			got, err := boot.Read(lookup, tc.needs...)
			if len(tc.says) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Error(diff)
				}
				return
			}
			if !errors.Is(err, boot.ErrEnvironment) {
				t.Fatalf("error is %v, want ErrEnvironment", err)
			}
			for _, name := range tc.says {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%q does not name %s", err, name)
				}
			}
		})
	}
}

func TestDefaultModels(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cfg  boot.Config
		want []route.Model
		says string
	}{
		"none":    {},
		"public":  {cfg: boot.Config{UpstreamBaseURL: "https://x"}, want: []route.Model{route.DefaultModel("https://x", false)}},
		"private": {cfg: boot.Config{UpstreamBaseURL: "http://x", UpstreamAllowPrivate: true}, want: []route.Model{route.DefaultModel("http://x", true)}},
		"http":    {cfg: boot.Config{UpstreamBaseURL: "http://hunter2"}, says: boot.EnvUpstreamBaseURL},
	} {
		got, err := tc.cfg.DefaultModels()
		if diff := cmp.Diff(tc.want, got); diff != "" || (err != nil) != (tc.says != "") {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
		if err != nil && (!errors.Is(err, boot.ErrEnvironment) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
