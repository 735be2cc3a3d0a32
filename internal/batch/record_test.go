package batch_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musketry/musketry/internal/batch"
	"github.com/musketry/musketry/internal/retry"
	"github.com/musketry/musketry/internal/state"
)

// instant draws what a store keeps of an instant.
func instant() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "unset") {
			return time.Time{}
		}
		return time.UnixMilli(rapid.Int64Range(0, 250_000_000_000_000).Draw(t, "unix ms")).UTC()
	})
}

// anyBatch draws every field of a batch, also those that are yet to come.
func anyBatch() *rapid.Generator[batch.Batch] {
	return rapid.MakeCustom[batch.Batch](rapid.MakeConfig{
		Types: map[reflect.Type]*rapid.Generator[any]{
			reflect.TypeFor[time.Time](): instant().AsAny(),
			reflect.TypeFor[float64]():   rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64).AsAny(),
		},
	})
}

func TestRecordComesBack(t *testing.T) {
	t.Parallel()
	records := anyBatch()
	rapid.Check(t, func(t *rapid.T) {
		b := records.Draw(t, "batch")
		b.Tenant, b.ID = "t"+b.Tenant, "batch_"+b.ID
		raw, err := batch.EncodeRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := batch.DecodeRecord(raw)
		if diff := cmp.Diff(b, got); diff != "" || err != nil {
			t.Fatalf("DecodeRecord: %v (-want +got):\n%s", err, diff)
		}
	})
}

// TestNewRecordIsSmall holds the largest batch that can be created to the
// input of a flow, at most 256 KiB
// (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html).
func TestNewRecordIsSmall(t *testing.T) {
	t.Parallel()
	b := fresh()
	b.Policy = retry.Default()
	b.Metadata = map[string]string{}
	for i := range 16 {
		b.Metadata[strconv.Itoa(i)+strings.Repeat("\x01", 62)] = strings.Repeat("\x01", 512)
	}
	raw, err := batch.EncodeRecord(b)
	if err != nil || len(raw) > 128<<10 {
		t.Errorf("a record of %d bytes, %v", len(raw), err)
	}
}

func TestRecordRefuses(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"nothing": "", "null": "null", "no object": "[]", "no ids": "{}", "no tenant": `{"ID":"batch_a"}`,
		"no id": `{"Tenant":"t"}`, "broken": `{"Tenant":"t"`, "two": `{"Tenant":"t","ID":"b"}{}`,
		"a wrong type": `{"Tenant":"t","ID":"b","Enqueued":"x"}`, "no time": `{"Tenant":"t","ID":"b","CreatedAt":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := batch.DecodeRecord(json.RawMessage(raw))
			if diff := cmp.Diff(batch.Batch{}, got); err == nil || diff != "" {
				t.Errorf("DecodeRecord(%s): %v, and a batch:\n%s", raw, err, diff)
			}
		})
	}
	b := fresh()
	b.Policy.Factor = math.NaN()
	if raw, err := batch.EncodeRecord(b); err == nil {
		t.Errorf("EncodeRecord of what JSON cannot say: %s", raw)
	}
}

func message() batch.Message {
	return batch.Message{Tenant: "t", Batch: "batch_a", Line: 1, Shard: 0, Offset: 0, Length: 1}
}

func TestMessageOf(t *testing.T) {
	t.Parallel()
	spec := state.Spec{
		Key: state.Key{Batch: "batch_a", Line: 7, Shard: 3}, CustomID: "c", Model: 2, Body: state.Span{Object: "o", Offset: 100, Length: 50},
	}
	got := batch.MessageOf("t", spec)
	if diff := cmp.Diff(batch.Message{Tenant: "t", Batch: "batch_a", Line: 7, Shard: 3, Offset: 100, Length: 50, Model: 2}, got); diff != "" {
		t.Errorf("MessageOf (-want +got):\n%s", diff)
	}
	if got.Key() != spec.Key {
		t.Errorf("Key = %+v, want %+v", got.Key(), spec.Key)
	}
	if want := (batch.Ref{Tenant: "t", ID: "batch_a"}); got.Ref() != want {
		t.Errorf("Ref = %+v, want %+v", got.Ref(), want)
	}
}

// TestMessageComesBack also holds the size to which ten of them make one call.
func TestMessageComesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := batch.Message{
			Tenant: rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,63}`).Draw(t, "tenant"),
			Batch:  "batch_" + rapid.StringMatching(`[0-9a-z]{26}`).Draw(t, "batch"),
			Line:   rapid.IntRange(1, math.MaxInt).Draw(t, "line"),
			Shard:  rapid.IntRange(0, math.MaxInt).Draw(t, "shard"),
			Offset: rapid.Int64Range(0, math.MaxInt64).Draw(t, "offset"),
			Length: rapid.Int64Range(1, math.MaxInt64).Draw(t, "length"),
			Model:  rapid.IntRange(0, batch.MaxModels).Draw(t, "model"),
		}
		body, err := m.Encode()
		if err != nil || len(body) > 512 {
			t.Fatalf("Encode: %d bytes %s, %v", len(body), body, err)
		}
		if got, err := batch.DecodeMessage(body); err != nil || got != m {
			t.Fatalf("DecodeMessage(%s) = %+v, %v", body, got, err)
		}
	})
}

func TestMessageRefuses(t *testing.T) {
	t.Parallel()
	with := func(change func(*batch.Message)) string {
		m := message()
		change(&m)
		body, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	for name, body := range map[string]string{
		"nothing":           "",
		"null":              "null",
		"an empty object":   "{}",
		"a word":            "hello",
		"a list":            "[]",
		"another's event":   `{"Records":[{"eventName":"ObjectCreated:Put"}]}`,
		"more behind":       with(func(*batch.Message) {}) + "x",
		"a model below 0":   with(func(m *batch.Message) { m.Model = -1 }),
		"a model too many":  with(func(m *batch.Message) { m.Model = batch.MaxModels + 1 }),
		"a fraction":        `{"t":"t","b":"b","l":1.5,"s":0,"o":0,"n":1}`,
		"a line too large":  `{"t":"t","b":"b","l":9223372036854775808,"s":0,"o":0,"n":1}`,
		"no tenant":         with(func(m *batch.Message) { m.Tenant = "" }),
		"no batch":          with(func(m *batch.Message) { m.Batch = "" }),
		"line 0":            with(func(m *batch.Message) { m.Line = 0 }),
		"a negative shard":  with(func(m *batch.Message) { m.Shard = -1 }),
		"a negative offset": with(func(m *batch.Message) { m.Offset = -1 }),
		"no length":         with(func(m *batch.Message) { m.Length = 0 }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := batch.DecodeMessage(body); err == nil || got != (batch.Message{}) {
				t.Errorf("DecodeMessage(%s) = %+v, %v", body, got, err)
			}
		})
	}
	if got, err := batch.DecodeMessage(with(func(*batch.Message) {})); err != nil || got != message() {
		t.Errorf("the one that the others were made of: %+v, %v", got, err)
	}
}

func FuzzDecodeMessage(f *testing.F) {
	body, err := message().Encode()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{body, "", "{}", "null", `{"t":"t"}`, `{"T":"t","B":"b","L":1,"N":1}`, `{"l":1e3}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		m, err := batch.DecodeMessage(body)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := batch.DecodeMessage(again); err != nil || got != m {
			t.Fatalf("%s decodes to %+v and again to %+v, %v", body, m, got, err)
		}
	})
}

func TestParseWindow(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	good := map[string]time.Duration{
		"10s": 10 * time.Second, "24h": day, "90s": 90 * time.Second, "2h30m": 150 * time.Minute, "30m": 30 * time.Minute,
		"1d": day, "7d": 7 * day, "007d": 7 * day, "168h": 7 * day, "10080m": 7 * day, "10000ms": 10 * time.Second,
		"1.5h": 90 * time.Minute, "+1h": time.Hour, "10.001s": 10_001 * time.Millisecond, "1h0m0s": time.Hour,
	}
	for s, want := range good {
		if got, err := batch.ParseWindow(s); err != nil || got != want {
			t.Errorf("ParseWindow(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", " ", "0", "10", "0s", "9.999s", "9999ms", "1ns", "-1h", "-24h", "-7d", "+7d", "0d", "8d", "7.5d", "1.5d", "d", "1w",
		"1y", "1e3s", "1e1d", "24", "24 h", " 24h", "24h ", "24H", "7D", "1d12h", "12h1d", "7dd", "168h1ns", "168h0m1s",
		"65536d", "18446744073709551616d", "9999999999h", "NaN", "infs", "0x10s", "1_0s", "٧d", "24h\x00",
		strings.Repeat("1", 10_000) + "h", strings.Repeat("0", 10_000) + "8d",
	} {
		got, err := batch.ParseWindow(s)
		if !errors.Is(err, batch.ErrWindow) || got != 0 {
			t.Errorf("ParseWindow(%.40q) = %v, %v, want ErrWindow", s, got, err)
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("ParseWindow(%.40q): an error of %d bytes", s, len(err.Error()))
		}
	}
}

func FuzzParseWindow(f *testing.F) {
	for _, seed := range []string{"24h", "10s", "9.999s", "7d", "8d", "65535d", "-1h", "1e3s", "", "d", "h", "1h1d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := batch.ParseWindow(s)
		if err == nil && (d < batch.MinWindow || d > batch.MaxWindow) || err != nil && (d != 0 || !errors.Is(err, batch.ErrWindow)) {
			t.Fatalf("ParseWindow(%q) = %v, %v", s, d, err)
		}
	})
}

func TestShards(t *testing.T) {
	t.Parallel()
	for total, want := range map[int]int{
		-1: 1, 0: 1, 1: 1, 5_000: 1, 5_001: 2, 10_000: 2, 10_001: 3, 50_000: 10, 315_000: 63, 315_001: 64, 320_000: 64,
		320_001: 64, 1_000_000_000: 64,
	} {
		if got := batch.Shards(total); got != want {
			t.Errorf("Shards(%d) = %d, want %d", total, got, want)
		}
	}
}

// TestLinesSpreadOverShards holds every line to one shard, and the shards to
// sizes that differ by one line at most.
func TestLinesSpreadOverShards(t *testing.T) {
	t.Parallel()
	for _, total := range []int{1, 4_999, 5_001, 12_345, 50_000} {
		b := fresh()
		ok(t, b.Validated(total))
		sizes := make([]int, b.Shards)
		for line := 1; line <= total; line++ {
			k := b.Key(line)
			if k.Batch != b.ID || k.Line != line || k.Shard != batch.ShardOf(line, b.Shards) || k.Shard < 0 || k.Shard >= b.Shards {
				t.Fatalf("Key(%d) = %+v of %d shards", line, k, b.Shards)
			}
			sizes[k.Shard]++
		}
		for shard, size := range sizes {
			if size < total/b.Shards || size > total/b.Shards+1 {
				t.Errorf("%d lines: shard %d has %d of them", total, shard, size)
			}
		}
	}
	if got := batch.ShardOf(7, 0); got != 0 {
		t.Errorf("ShardOf before validation = %d, want 0", got)
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	now := ms(noon())
	f := batch.File{Tenant: "t", ID: "file-a", ExpiresAt: now}
	if got, want := f.ObjectKey(), "tenants/t/files/file-a"; got != want {
		t.Errorf("ObjectKey = %q, want %q", got, want)
	}
	if got, want := batch.SegmentKey("batch_a", "s1"), "batches/batch_a/segments/s1"; got != want {
		t.Errorf("SegmentKey = %q, want %q", got, want)
	}
	if f.Expired(now.Add(-1)) || !f.Expired(now) || (&batch.File{}).Expired(now) {
		t.Error("Expired is not: from ExpiresAt on, if there is one")
	}
	f.Pin("batch_a")
	f.Pin("batch_b")
	f.Pin("batch_a")
	if diff := cmp.Diff([]string{"batch_a", "batch_b"}, f.PinnedBy); diff != "" || f.Expired(now) {
		t.Errorf("held twice, expired: %t (-want +got):\n%s", f.Expired(now), diff)
	}
	held := f
	f.Unpin("batch_a")
	f.Unpin("batch_a")
	f.Unpin("batch_c")
	if diff := cmp.Diff([]string{"batch_b"}, f.PinnedBy); diff != "" || f.Expired(now) {
		t.Errorf("released, expired: %t (-want +got):\n%s", f.Expired(now), diff)
	}
	if diff := cmp.Diff([]string{"batch_a", "batch_b"}, held.PinnedBy); diff != "" {
		t.Errorf("a copy changed (-want +got):\n%s", diff)
	}
	f.Pin("batch_d")
	f.Unpin("batch_d", "batch_b")
	if !f.Expired(now) {
		t.Error("not expired, though nobody holds it")
	}
}
