package sealward

import (
	"context"
	"fmt"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// ListCall is a List method of a generated client, such as client.Mailboxes.ListMailboxes.
type ListCall[Request, Page any] func(ctx context.Context, request Request, options ...grpc.CallOption) (Page, error)

// ListAll iterates over the records of all pages of a list, with one call per page. records gets the records of a page:
//
//	request := &sealwardmailv1.ListMailboxesRequest{Parent: "organizations/default"}
//	for mailbox, err := range sealward.ListAll(ctx, client.Mailboxes.ListMailboxes, request, (*sealwardmailv1.ListMailboxesResponse).GetMailboxes) {
//		if err != nil {
//			return err
//		}
//		fmt.Println(mailbox.GetDisplayName())
//	}
//
// The iteration ends after an error. The pages aren't a snapshot: a record that is created, changed or deleted between two calls may be missing.
// An unchanged record appears exactly once.
func ListAll[Request, Page proto.Message, Record any](
	ctx context.Context, call ListCall[Request, Page], request Request, records func(Page) []Record,
) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for page, err := range Pages(ctx, call, request) {
			if err != nil {
				var none Record
				yield(none, err)
				return
			}
			for _, record := range records(page) {
				if !yield(record, nil) {
					return
				}
			}
		}
	}
}

// Pages iterates over the pages of a list, beginning with the page of the request. See [ListAll].
func Pages[Request, Page proto.Message](ctx context.Context, call ListCall[Request, Page], request Request) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		var none Page
		reflected := request.ProtoReflect()
		token := textField(reflected, "page_token")
		if token == nil || !reflected.IsValid() {
			yield(none, fmt.Errorf("sealward: %s has no page_token", reflected.Descriptor().FullName()))
			return
		}
		current := reflected.Get(token).String()
		for {
			page, err := call(ctx, request)
			if err != nil {
				yield(none, err)
				return
			}
			next := nextPageToken(page.ProtoReflect())
			if !yield(page, nil) || next == "" {
				return
			}
			if next == current {
				yield(none, fmt.Errorf("sealward: the server returned the same page token again"))
				return
			}
			current = next
			request = withText(request, token, next).(Request)
		}
	}
}

func nextPageToken(page protoreflect.Message) string {
	field := textField(page, "next_page_token")
	if field == nil {
		return ""
	}
	return page.Get(field).String()
}
