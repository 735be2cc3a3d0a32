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
func plainBodies(stack *middleware.Stack) error {
	plain := middleware.BuildMiddlewareFunc("PlainBodies", func(
		ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler,
	) (middleware.BuildOutput, middleware.Metadata, error) {
		req, ok := in.Request.(*smithyhttp.Request)
		if !ok {
			return next.HandleBuild(ctx, in)
		}
		_, writes := req.GetStream().(io.WriterTo)
		if seeker, ok := req.GetStream().(io.ReadSeeker); ok && writes {
			plain, err := req.SetStream(struct{ io.ReadSeeker }{seeker})
			if err != nil {
				return middleware.BuildOutput{}, middleware.Metadata{}, fmt.Errorf("boot: body: %w", err)
			}
			in.Request = plain
		}
		return next.HandleBuild(ctx, in)
	})
	return stack.Build.Add(plain, middleware.Before)
}
