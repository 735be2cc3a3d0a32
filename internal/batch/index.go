package batch

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"sort"
)

// An entry of an index is the first 8 bytes of a custom_id's SHA-256 and the
// request's line, both big endian, so that entries sort as bytes do.
const (
	indexHash  = 8 // bytes
	indexEntry = indexHash + 4
)

// An Index finds the lines of a batch's requests by their custom_ids. It holds
// 12 bytes a request. Its zero value is empty.
type Index struct{ entries []byte }

// Add adds the request of line, whose custom_id has this SHA-256.
func (x *Index) Add(sum [sha256.Size]byte, line int) {
	x.entries = append(x.entries, sum[:indexHash]...)
	x.entries = binary.BigEndian.AppendUint32(x.entries, uint32(line)) //nolint:gosec // a batch has far fewer lines
}

// Bytes returns x as it is stored: its entries in order, whatever order they
// were added in. It is valid until the next Add.
func (x *Index) Bytes() []byte {
	sort.Sort((*byEntry)(x))
	return x.entries
}

// byEntry sorts an Index where it lies.
type byEntry Index

func (x *byEntry) at(i int) []byte { return x.entries[i*indexEntry:][:indexEntry] }

func (x *byEntry) Len() int { return len(x.entries) / indexEntry }

func (x *byEntry) Less(i, j int) bool { return bytes.Compare(x.at(i), x.at(j)) < 0 }

func (x *byEntry) Swap(i, j int) {
	var kept [indexEntry]byte
	copy(kept[:], x.at(i))
	copy(x.at(i), x.at(j))
	copy(x.at(j), kept[:])
}

// IndexKey returns the name under which a batch's index is stored.
func IndexKey(batchID string) string { return fmt.Sprintf("batches/%s/index", batchID) }

// FindLines returns the lines that the index of a batch of total requests has
// for customID: none, one, or several if two custom_ids share the 8 bytes, so
// the caller must look which of them it is. read returns a range of the stored
// index; its errors are returned as they are.
//
// Hashes are spread evenly, so where an entry lies follows from its hash, give
// or take the root of the total: one read of about 50 KB finds it in an index of
// a million, and hardly ever a second, wider one is needed.
func FindLines(
	customID string, total int, read func(offset, length int64) ([]byte, error),
) ([]int, error) {
	sum := sha256.Sum256([]byte(customID))
	want := sum[:indexHash]
	at, _ := bits.Mul64(binary.BigEndian.Uint64(want), uint64(max(total, 0)))
	// The root is twice the standard deviation of an entry's place at its most,
	// so that twice the root misses one entry in 10,000.
	for reach := 16 + 2*int(math.Sqrt(float64(max(total, 0)))); ; reach *= 4 {
		lo, hi := max(int(at)-reach, 0), min(int(at)+reach, total) //nolint:gosec // at is below total
		if lo >= hi {
			return nil, nil
		}
		page, err := read(int64(lo)*indexEntry, int64(hi-lo)*indexEntry)
		if err != nil {
			return nil, err
		}
		if len(page) != (hi-lo)*indexEntry {
			return nil, fmt.Errorf("batch: %d bytes of an index, want %d", len(page), (hi-lo)*indexEntry)
		}
		first, last := page[:indexHash], page[len(page)-indexEntry:][:indexHash]
		if (lo == 0 || bytes.Compare(first, want) < 0) && (hi == total || bytes.Compare(last, want) > 0) {
			return linesOf(page, want), nil
		}
	}
}

// linesOf returns the lines of the entries that begin with want.
func linesOf(page, want []byte) []int {
	x := &byEntry{entries: page}
	var lines []int
	from := sort.Search(x.Len(), func(i int) bool { return bytes.Compare(x.at(i)[:indexHash], want) >= 0 })
	for i := from; i < x.Len() && bytes.Equal(x.at(i)[:indexHash], want); i++ {
		lines = append(lines, int(binary.BigEndian.Uint32(x.at(i)[indexHash:])))
	}
	return lines
}
