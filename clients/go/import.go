package sealward

import (
	"context"
	"errors"
	"io"
	"iter"

	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	sealwardv1 "github.com/sealward/sealward/clients/go/sealward/v1"
)

// ImportCall is an Import method of a generated client, such as client.Mailboxes.ImportMailboxes.
type ImportCall[Request, Response any] func(
	ctx context.Context, options ...grpc.CallOption,
) (grpc.BidiStreamingClient[Request, Response], error)

// ImportAll sends the requests of an import, and iterates over its responses meanwhile. requests runs in another goroutine, as fast as the
// server takes them:
//
//	for response, err := range sealward.ImportAll(ctx, client.Mailboxes.ImportMailboxes, slices.Values(requests)) {
//		if err != nil {
//			return err
//		}
//		for _, result := range response.GetResults() {
//			if failure := sealward.ItemError(result.GetError()); failure != nil {
//				fmt.Println(failure)
//			}
//		}
//	}
//
// The iteration ends after an error, and a break ends the call. The call has no deadline except that of ctx, and is never retried: after an
// error, records without a result may have been created. Cancel ctx if requests can't continue: otherwise, the end of requests is the end of
// the import.
func ImportAll[Request, Response any](
	ctx context.Context, call ImportCall[Request, Response], requests iter.Seq[*Request],
) iter.Seq2[*Response, error] {
	return func(yield func(*Response, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := call(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		go send(ctx, stream, requests)
		for {
			response, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(response, nil) {
				return
			}
		}
	}
}

// send sends requests until the stream or its context ends. The failure of a stream is an error of its Recv too, with the server's reason.
func send[Request, Response any](ctx context.Context, stream grpc.BidiStreamingClient[Request, Response], requests iter.Seq[*Request]) {
	for request := range requests {
		if ctx.Err() != nil || stream.Send(request) != nil {
			return
		}
	}
	if ctx.Err() == nil {
		_ = stream.CloseSend()
	}
}

// ItemError converts the error of one item, such as a result of an import, to the error that a call of its own would return. Nil for nil.
func ItemError(item *sealwardv1.ItemStatus) *Error {
	if item == nil {
		return nil
	}
	code := codes.Unknown
	if number := item.GetCode(); number > int32(codes.OK) && number <= int32(codes.Unauthenticated) {
		code = codes.Code(number)
	}
	state := status.FromProto(&statuspb.Status{Code: int32(code), Message: item.GetMessage(), Details: item.GetDetails()})
	failure := &Error{Code: code, Message: item.GetMessage(), Origin: OriginServer, status: state}
	failure.decode(state)
	failure.MayHaveTakenEffect = mayHaveTakenEffect(failure)
	return failure
}
