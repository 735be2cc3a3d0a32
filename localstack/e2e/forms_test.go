//go:build e2e

package e2e_test

import (
	"encoding/json"
	"net/http"
	"testing"
)

// TestForms demands that a form reaches us as it was sent, also one that is none: a gateway that reads it first must not
// answer in our place. LocalStack's own gateway does; the fixes of its launcher keep it from that.
func TestForms(t *testing.T) {
	t.Parallel()
	const file = "Content-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n{}\n\r\n"
	const purpose = "Content-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
	tests := map[string]struct {
		contentType, body string
		want              int
	}{
		"without a boundary": {"multipart/form-data", "--a\r\n" + purpose + "--a--\r\n", http.StatusBadRequest},
		"without a part":     {"multipart/form-data; boundary=a", "--a--\r\n", http.StatusBadRequest},
		"without a byte":     {"multipart/form-data; boundary=a", "", http.StatusBadRequest},
		"cut off":            {"multipart/form-data; boundary=a", "--a\r\n" + purpose + "--a\r\n" + file, http.StatusBadRequest},
		"with a quoted boundary": {
			`multipart/form-data; boundary="a b=c"`, "--a b=c\r\n" + purpose + "--a b=c\r\n" + file + "--a b=c--\r\n", http.StatusOK,
		},
		"with a parameter behind the boundary": {
			"multipart/form-data; boundary=a; charset=utf-8", "--a\r\n" + purpose + "--a\r\n" + file + "--a--\r\n", http.StatusOK,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, answer := send(t, http.MethodPost, variable(t, "OPENAI_BASE_URL")+"/files", variable(t, "OPENAI_API_KEY"),
				tt.contentType, []byte(tt.body))
			if status != tt.want || !json.Valid(answer) {
				t.Errorf("got %d %q, want %d and JSON", status, answer, tt.want)
			}
		})
	}
}
