// Package multipart writes an object in parts so that whoever comes next goes on
// where the last one died. How far the object has come stands in a
// [batch.Multipart], which lies in the record of a batch. Where a part ends follows
// from its lines alone, so two who write at the same time write the same parts, and
// one of them moves the cursor.
//
// It knows the domain, and the stores it needs by the small interfaces that it
// declares; nothing of what is written, and no cloud.
package multipart
