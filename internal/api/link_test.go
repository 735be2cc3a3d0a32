package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musketry/musketry/internal/api"
	"github.com/musketry/musketry/internal/batch"
)

func withLinks(d *api.Deps, _ *api.Config) { d.Presigner = presigner{} }

func TestLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withLinks)
	id := w.upload(w.alice, line)
	r := w.ask(ask{method: "POST", path: "/v1/files/" + id + "/link", key: w.alice}).want(200)
	want := map[string]any{
		"object": "file.link", "file_id": id, "expires_at": float64(w.clock().Unix() + 60),
		"url": "https://objects.test/" + batch.FileKey("alice", id) + "?name=requests.jsonl&for=1m0s",
	}
	if diff := cmp.Diff(want, r.json); diff != "" {
		t.Error(diff)
	}
	if r.Header().Get("Cache-Control") != "no-store" {
		t.Error("a link may be kept by a cache")
	}
	if strings.Contains(w.log.String(), "objects.test") {
		t.Error("the log has a link")
	}
	w.post("/v1/files/"+id+"/link", `{"seconds":3600}`).refused(400, "seconds", "unknown_parameter", "seconds")
	w.ask(ask{method: "POST", path: "/v1/files/" + id + "/link?x=1", key: w.alice}).refused(400, "x", "unknown_parameter", "x")
}

// TestLinksOfNoFile demands that nobody gets a link to what is not theirs or not there any more.
func TestLinksOfNoFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withLinks)
	id := w.upload(w.alice, line)
	path := "/v1/files/" + id + "/link"
	w.ask(ask{method: "POST", path: path, key: w.bob}).refused(404, "id", "*", "No such File object")
	w.ask(ask{method: "POST", path: path}).refused(401, "", "invalid_api_key", "")
	w.ask(ask{method: "POST", path: "/v1/files/file-none/link", key: w.alice}).refused(404, "id", "*", "No such File object")
	w.advance(batch.MaxFileLife)
	w.ask(ask{method: "POST", path: path, key: w.alice}).refused(404, "id", "*", "No such File object")
	w = newWorld(t)
	path = "/v1/files/" + w.upload(w.alice, line) + "/link"
	w.ask(ask{method: "POST", path: path, key: w.alice}).refused(501, "", "links_unavailable", "/content")
}

// TestLinkNames demands that a file is saved under a name that harms nobody.
func TestLinkNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withLinks)
	for name, want := range map[string]string{
		"answers.jsonl": "answers.jsonl", "../../etc/passwd": "passwd", `C:\boot.ini`: "boot.ini", ".bashrc": "bashrc",
		"a\r\nSet-Cookie: x": "a__Set-Cookie_ x", "Grüße 你好.jsonl": "Grüße 你好.jsonl", "txt.\u202egpj.exe": "txt._gpj.exe",
		"..": "file-link", "/": "file-link", `<img src="x">`: "_img src=_x__",
		"a." + strings.Repeat("b", 254):     strings.Repeat("b", 254),
		strings.Repeat("é", 300) + ".jsonl": strings.Repeat("é", 124) + ".jsonl",
	} {
		f := batch.File{
			Tenant: "alice", ID: "file-link", Name: name, Purpose: batch.PurposeBatch, CreatedAt: w.clock(), ExpiresAt: w.clock().Add(time.Hour),
		}
		if got := api.SafeName(f); got != want {
			t.Errorf("%q is saved as %q, want %q", name, got, want)
		}
	}
}
