// Package s3file keeps bytes by name in a bucket of S3: input and output files,
// and the segments that workers write.
//
// It knows S3 and batch.ErrNoObject, and nothing of what the bytes mean.
package s3file
