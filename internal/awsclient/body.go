package awsclient

import (
	"context"
	"fmt"
	"io"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// plainBodies hides that the body of a request can write itself. The SDK closes a body when the answer begins. One that can write itself
// gives an error from then on, which net/http may meet where it looks whether the body is at its end: it closes the connection in
// the middle of the answer, and the SDK makes a request again that had its effect.
func plainBodies(stack *middleware.Stack) error {
	return stack.Serialize.Add(middleware.SerializeMiddlewareFunc("PlainBody", func(
		ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler,
	) (middleware.SerializeOutput, middleware.Metadata, error) {
		r, ok := in.Request.(*smithyhttp.Request)
		if !ok {
			return next.HandleSerialize(ctx, in)
		}
		body, ok := r.GetStream().(io.ReadSeeker)
		if !ok {
			return next.HandleSerialize(ctx, in)
		}
		plain, err := r.SetStream(struct{ io.ReadSeeker }{body})
		if err != nil {
			return middleware.SerializeOutput{}, middleware.Metadata{}, fmt.Errorf("body of a request: %w", err)
		}
		in.Request = plain
		return next.HandleSerialize(ctx, in)
	}), middleware.After)
}
