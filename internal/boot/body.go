package boot

import (
	"context"
	"fmt"
	"io"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// plainBodies has the SDK send its bodies as nothing but readers.
//
// The SDK closes a request's body once the answer's head is there. net/http may
// have the last look at the body still ahead, by which it knows that there is no
// more of it; a reader that is closed says io.EOF, but what also has WriteTo
// gives io.EOF as its error, for which net/http closes the connection with the
// answer in it. The SDK then calls again: a message is sent twice, or received
// and hidden from everybody, a conditional write fails on itself
// (https://github.com/aws/aws-sdk-go-v2/issues/2737).
//
// It comes last of all that prepares a call: what hashes a body before is spared a
// buffer of 32 KB by the same WriteTo.
func plainBodies(stack *middleware.Stack) error {
	plain := middleware.FinalizeMiddlewareFunc("PlainBodies", func(
		ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
	) (middleware.FinalizeOutput, middleware.Metadata, error) {
		req, ok := in.Request.(*smithyhttp.Request)
		if !ok {
			return next.HandleFinalize(ctx, in)
		}
		_, writes := req.GetStream().(io.WriterTo)
		if seeker, ok := req.GetStream().(io.ReadSeeker); ok && writes {
			plain, err := req.SetStream(struct{ io.ReadSeeker }{seeker})
			if err != nil {
				return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf("boot: body: %w", err)
			}
			in.Request = plain
		}
		return next.HandleFinalize(ctx, in)
	})
	return stack.Finalize.Add(plain, middleware.After)
}
