package s3file

import (
	"errors"
	"fmt"
	"io"

	"github.com/aws/smithy-go"

	"github.com/musketry/musketry/internal/batch"
)

// wrap turns an error of the SDK into one of ours
// (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
func wrap(op, key string, err error) error {
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "NoSuchKey", "NotFound", "NoSuchUpload": // HeadObject's answer has no body to say which
			return fmt.Errorf("s3file: %s %s: %w", op, key, batch.ErrNoObject)
		case "PreconditionFailed":
			return fmt.Errorf("s3file: %s %s: %w", op, key, batch.ErrExists)
		case "InvalidRange":
			return fmt.Errorf("s3file: %s %s: %w", op, key, io.ErrUnexpectedEOF)
		}
	}
	return fmt.Errorf("s3file: %s %s: %w", op, key, err)
}

func isAbsent(err error) bool { return errors.Is(err, batch.ErrNoObject) }
