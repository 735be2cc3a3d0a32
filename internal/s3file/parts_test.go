package s3file_test

import (
	"crypto/md5" //nolint:gosec // S3's own tags
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/musketry/musketry/internal/batch"
)

func sumOf(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func tagOf(body string) string {
	return fmt.Sprintf(`"%x"`, md5.Sum([]byte(body))) //nolint:gosec // as S3 tags objects
}

// A storedPart is what S3 knows of one.
type storedPart struct {
	XMLName        xml.Name `xml:"Part"`
	PartNumber     int
	ETag           string
	ChecksumSHA256 string `xml:",omitempty"`
}

// A keyed is S3 with one upload in a bucket that KMS encrypts: whoever puts a
// part, whose bytes are the same, makes another tag of it. It lists two parts a
// call.
type keyed struct {
	t *testing.T

	mu      sync.Mutex
	puts    int
	parts   map[int]storedPart
	replace int    // how many completions find a part replaced that was listed
	object  string // sum of what is there
	head    http.Header
}

func (k *keyed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		k.t.Error(err)
	}
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		if r.Header.Get("X-Amz-Checksum-Algorithm") != "SHA256" {
			k.t.Error("the upload was begun without sums")
		}
		_, _ = io.WriteString(w, `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`)
	case q.Has("uploadId") && q.Get("uploadId") != "u":
		k.t.Errorf("upload %q was asked for", q.Get("uploadId"))
	case r.Method == http.MethodPut:
		n, _ := strconv.Atoi(q.Get("partNumber"))
		k.put(n, body, r.Header.Get("X-Amz-Checksum-Sha256"))
		w.Header().Set("ETag", k.parts[n].ETag)
	case r.Method == http.MethodGet:
		k.list(w, q.Get("part-number-marker"))
	case r.Method == http.MethodPost:
		k.complete(w, body)
	case r.Method == http.MethodHead:
		for name, values := range k.head {
			w.Header()[name] = values
		}
	}
}

func (k *keyed) put(n int, body []byte, sum string) {
	k.puts++
	k.parts[n] = storedPart{PartNumber: n, ETag: tagOf(string(body) + strconv.Itoa(k.puts)), ChecksumSHA256: sum}
}

func (k *keyed) list(w io.Writer, after string) {
	from, _ := strconv.Atoi(after)
	_, _ = io.WriteString(w, "<ListPartsResult>")
	n := from + 1
	for ; n <= from+2 && k.parts[n].PartNumber > 0; n++ {
		_ = xml.NewEncoder(w).Encode(k.parts[n])
	}
	_, _ = fmt.Fprintf(w, "<IsTruncated>%t</IsTruncated><NextPartNumberMarker>%d</NextPartNumberMarker></ListPartsResult>",
		k.parts[n].PartNumber > 0, n-1)
}

func (k *keyed) complete(w http.ResponseWriter, body []byte) {
	var asked struct {
		Parts []storedPart `xml:"Part"`
	}
	if err := xml.Unmarshal(body, &asked); err != nil {
		k.t.Error(err)
	}
	if k.replace > 0 { // the other writer, just now
		k.replace--
		k.put(1, []byte("a"), k.parts[1].ChecksumSHA256)
	}
	for _, p := range asked.Parts {
		p.XMLName = k.parts[p.PartNumber].XMLName
		if p != k.parts[p.PartNumber] {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "<Error><Code>InvalidPart</Code></Error>")
			return
		}
		k.object += p.ChecksumSHA256
	}
}

// TestPartsOfTwoWritersUnderKMS has two writers put the same parts of an upload.
// The first one's sums finish it, although S3 has the second one's tags.
func TestPartsOfTwoWritersUnderKMS(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		replaced int // completions that find a part replaced
		ok       bool
	}{"at rest": {0, true}, "still writing": {4, true}, "for ever": {5, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &keyed{t: t, parts: map[int]storedPart{}, replace: tc.replaced}
			b := behind(t, store.ServeHTTP)
			id, err := b.StartParts(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			var sums []string
			for _, body := range []string{"a", "b", "c", "d", "e"} {
				sum, err := b.PutPart(t.Context(), "k", id, len(sums)+1, []byte(body))
				again, err2 := b.PutPart(t.Context(), "k", id, len(sums)+1, []byte(body))
				if err != nil || err2 != nil || sum != again {
					t.Fatalf("sums %s and %s: %v, %v", sum, again, err, err2)
				}
				sums = append(sums, sum)
			}
			err = b.FinishParts(t.Context(), "k", id, sums)
			if (err == nil) != tc.ok || tc.ok && store.object != strings.Join(sums, "") {
				t.Errorf("made an object of %s, error %v", store.object, err)
			}
			sums[4] = sums[0]
			if err := b.FinishParts(t.Context(), "k", id, sums); err == nil {
				t.Error("finished with a part that nobody put")
			}
		})
	}
}

// TestPartsOfAnOlderVersion goes on with an upload that was begun without sums.
func TestPartsOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	store := &keyed{t: t, parts: map[int]storedPart{}}
	b := behind(t, store.ServeHTTP)
	tag, err := b.PutPart(t.Context(), "k", "u", 1, []byte("a"))
	if err != nil || store.parts[1].ChecksumSHA256 != "" || tag != store.parts[1].ETag {
		t.Fatalf("part %+v has the tag %s: %v", store.parts[1], tag, err)
	}
	if err := b.FinishParts(t.Context(), "k", "u", []string{tag}); err != nil {
		t.Error(err)
	}
}

// TestHoldsByWhatS3Keeps compares by S3's sum, and by its tag where it has none.
func TestHoldsByWhatS3Keeps(t *testing.T) {
	t.Parallel()
	body := []byte("body")
	tag := tagOf(string(body))
	for name, tc := range map[string]struct {
		sum, tag string
		want     bool
	}{
		"under KMS":                   {sumOf(body), `"of no bytes"`, true},
		"other bytes":                 {sumOf([]byte("others")), tag, false},
		"an older version's":          {"", tag, true},
		"an older version's, other's": {"", `"of no bytes"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &keyed{t: t, head: http.Header{"Etag": {tc.tag}}}
			if tc.sum != "" {
				store.head.Set("X-Amz-Checksum-Sha256", tc.sum)
			}
			b := behind(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodHead && r.Header.Get("X-Amz-Checksum-Mode") != "ENABLED" {
					t.Error("no sum was asked for")
				}
				if r.Method == http.MethodPut {
					w.WriteHeader(http.StatusPreconditionFailed)
					_, _ = io.WriteString(w, "<Error><Code>PreconditionFailed</Code></Error>")
					return
				}
				store.ServeHTTP(w, r)
			})
			got, err := b.Holds(t.Context(), "k", body)
			if err != nil || got != tc.want {
				t.Errorf("holds: %t, error %v, want %t", got, err, tc.want)
			}
			if err := b.PutNew(t.Context(), "k", body); (err == nil) != tc.want || err != nil && !errors.Is(err, batch.ErrExists) {
				t.Errorf("put: %v", err)
			}
		})
	}
}
