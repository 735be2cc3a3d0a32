package dynamostore

import (
	"fmt"
	"time"

	"github.com/musketry/musketry/internal/batch"
)

// The attributes of batches, files, uploads and receipts. Tenant and id are in the key.
const (
	attrRev  = "rev"
	attrMark = "mark" // the last write's own mark

	attrBody = "body" // JSON: all of a batch that has no attribute of its own

	attrUploadStatus = "status" // of an upload
	attrCreatedAt    = "created_at"

	attrName      = "name"
	attrPurpose   = "purpose"
	attrBytes     = "bytes"
	attrExpiresAt = "expires_at"
	attrSHA256    = "sha256"
	attrPinnedBy  = "pinned_by" // JSON

	attrFile     = "file"
	attrMimeType = "mime_type"
	attrFileLife = "file_life" // nanoseconds

	attrReserved      = "reserved" // bytes
	attrReservedParts = "reserved_parts"
	attrReservedAt    = "reserved_at"
	attrPartOrder     = "part_order" // SHA-256 of ids
	attrSum           = "sum"        // MD5
	attrTries         = "tries"
	attrReadOrder     = "read_order"
	attrReadSum       = "read_sum"
	attrJoinedBy      = "joined_by"
	attrJoinedUntil   = "joined_until"

	attrOrder = "order"
	attrBatch = "batch"
)

// encodeBatch returns b's item, without the mark of a write: what no condition
// looks at is one body. It expires retention after b's end, and never before
// that.
func encodeBatch(b batch.Batch, retention time.Duration) (item, error) {
	it := batchKey(b.Tenant, b.ID).item()
	it.setInt(attrRev, b.Rev)
	if retention > 0 && b.Status.Terminal() {
		it.setExpiry(endOf(b).Add(retention))
	}
	b.Ref, b.Rev, b.Reconciled = batch.Ref{}, 0, b.Reconciled.Kept()
	return it, it.setBody(b)
}

// endOf returns when b ended, which must have.
func endOf(b batch.Batch) time.Time {
	end := b.CreatedAt
	for _, t := range []time.Time{b.CompletedAt, b.FailedAt, b.ExpiredAt, b.CanceledAt} {
		if t.After(end) {
			end = t
		}
	}
	return end
}

// decodeBatch reads what encodeBatch wrote.
func decodeBatch(it item) (batch.Batch, error) {
	r := &reader{item: it}
	var b batch.Batch
	r.body(&b)
	b.Ref = batch.Ref{Tenant: tenantOf(r.string(attrPK)), ID: idOf(prefixBatch, r.string(attrSK))}
	b.Rev = r.int64(attrRev)
	if r.err != nil {
		return batch.Batch{}, fmt.Errorf("batch %s: %w", b.ID, r.err)
	}
	return b, nil
}

// fileSlack is how long after its expiry a file's record may be needed still:
// a batch that uses the file lasts 7 days at most.
const fileSlack = 10 * 24 * time.Hour

// encodeFile returns f's item, without the mark of a write.
func encodeFile(f batch.File) (item, error) {
	it := fileKey(f.Tenant, f.ID).item()
	it.setInt(attrRev, f.Rev)
	it.setString(attrName, f.Name)
	it.setString(attrPurpose, string(f.Purpose))
	it.setInt(attrBytes, f.Bytes)
	it.setTime(attrCreatedAt, f.CreatedAt)
	it.setTime(attrExpiresAt, f.ExpiresAt)
	it.setString(attrBatch, f.Batch)
	it.setString(attrSHA256, f.SHA256)
	if !f.ExpiresAt.IsZero() {
		it.setExpiry(f.ExpiresAt.Add(fileSlack))
	}
	if f.PinnedBy == nil {
		return it, nil
	}
	return it, it.setJSON(attrPinnedBy, f.PinnedBy)
}

// decodeFile reads what encodeFile wrote.
func decodeFile(it item) (batch.File, error) {
	r := &reader{item: it}
	f := batch.File{
		Tenant: tenantOf(r.string(attrPK)), ID: idOf(prefixFile, r.string(attrSK)), Rev: r.int64(attrRev),
		Name: r.string(attrName), Purpose: batch.Purpose(r.string(attrPurpose)), Bytes: r.int64(attrBytes),
		CreatedAt: r.time(attrCreatedAt), ExpiresAt: r.time(attrExpiresAt), Batch: r.string(attrBatch),
		SHA256: r.string(attrSHA256),
	}
	r.json(attrPinnedBy, &f.PinnedBy)
	if r.err != nil {
		return batch.File{}, fmt.Errorf("file %s: %w", f.ID, r.err)
	}
	return f, nil
}

// encodeUpload returns u's item, without the mark of a write. It expires
// retention after the end of u's life.
func encodeUpload(u batch.Upload, retention time.Duration) item {
	it := uploadKey(u.Tenant, u.ID).item()
	it.setInt(attrRev, u.Rev)
	it.setString(attrFile, u.FileID)
	it.setString(attrName, u.Name)
	it.setString(attrPurpose, string(u.Purpose))
	it.setString(attrMimeType, u.MimeType)
	it.setInt(attrBytes, u.Bytes)
	it.setInt(attrFileLife, int64(u.FileLife))
	it.setString(attrUploadStatus, string(u.Status))
	it.setTime(attrCreatedAt, u.CreatedAt)
	if retention > 0 {
		it.setExpiry(u.ExpiresAt().Add(retention))
	}
	it.setInt(attrReserved, u.Reserved)
	it.setInt(attrReservedParts, int64(u.ReservedParts))
	it.setTime(attrReservedAt, u.ReservedAt)
	it.setString(attrPartOrder, u.Order)
	it.setString(attrSum, u.Sum)
	it.setInt(attrTries, int64(u.Tries))
	it.setString(attrReadOrder, u.ReadOrder)
	it.setString(attrReadSum, u.ReadSum)
	it.setString(attrJoinedBy, u.JoinedBy)
	it.setTime(attrJoinedUntil, u.JoinedUntil)
	return it
}

// decodeUpload reads what encodeUpload wrote.
func decodeUpload(it item) (batch.Upload, error) {
	r := &reader{item: it}
	u := batch.Upload{
		Tenant: tenantOf(r.string(attrPK)), ID: idOf(prefixUpload, r.string(attrSK)), Rev: r.int64(attrRev),
		FileID: r.string(attrFile), Name: r.string(attrName), Purpose: batch.Purpose(r.string(attrPurpose)),
		MimeType: r.string(attrMimeType), Bytes: r.int64(attrBytes),
		FileLife: time.Duration(r.int64(attrFileLife)),
		Status:   batch.UploadStatus(r.string(attrUploadStatus)), CreatedAt: r.time(attrCreatedAt),
		Reserved: r.int64(attrReserved), ReservedParts: r.int(attrReservedParts), ReservedAt: r.time(attrReservedAt),
		Order: r.string(attrPartOrder), Sum: r.string(attrSum),
		Tries: r.int(attrTries), ReadOrder: r.string(attrReadOrder), ReadSum: r.string(attrReadSum),
		JoinedBy: r.string(attrJoinedBy), JoinedUntil: r.time(attrJoinedUntil),
	}
	if r.err != nil {
		return batch.Upload{}, fmt.Errorf("upload %s: %w", u.ID, r.err)
	}
	return u, nil
}

// encodeReceipt returns r's item, which expires when r does.
func encodeReceipt(r batch.Receipt) item {
	it := receiptKey(r.Tenant, r.Key).item()
	it.setString(attrOrder, r.Order)
	it.setString(attrBatch, r.BatchID)
	it.setTime(attrCreatedAt, r.CreatedAt)
	it.setTime(attrExpiresAt, r.ExpiresAt)
	it.setExpiry(r.ExpiresAt)
	return it
}

// decodeReceipt reads what encodeReceipt wrote.
func decodeReceipt(it item) (batch.Receipt, error) {
	r := &reader{item: it}
	receipt := batch.Receipt{
		Tenant: tenantOf(r.string(attrPK)), Key: idOf(prefixReceipt, r.string(attrSK)),
		Order: r.string(attrOrder), BatchID: r.string(attrBatch),
		CreatedAt: r.time(attrCreatedAt), ExpiresAt: r.time(attrExpiresAt),
	}
	return receipt, r.err
}
