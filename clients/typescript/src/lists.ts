/** Lists as async iterators. */

import type { Message } from "@bufbuild/protobuf";
import type { CallOptions } from "@connectrpc/connect";

/** The request of a list: it can name a page. */
type ListRequest = { pageToken?: string };

/** The response of a list: it names the next page. */
type ListResponse = { nextPageToken: string };

/** A List method of a client, such as `client.mailboxes.listMailboxes`. */
type ListMethod<Request, Response> = (request: Request, options?: CallOptions) => Promise<Response>;

/** The records in the response of a list. */
type RecordOf<Response> = {
  [Name in keyof Response]-?: Response[Name] extends (infer Item)[] ? (Item extends Message ? Item : never) : never;
}[keyof Response];

/**
 * Iterates over the pages of a list, with one call for each page.
 *
 * The pages aren't a snapshot: a record that is created, changed or deleted between two calls may be missing. An unchanged record appears
 * exactly once.
 */
export async function* pages<Request extends object, Response extends ListResponse>(
  list: ListMethod<Request, Response>,
  request: Request,
  options?: CallOptions,
): AsyncGenerator<Response, void, undefined> {
  let pageToken = (request as ListRequest).pageToken ?? "";
  do {
    const response = await list({ ...request, pageToken }, options);
    pageToken = response.nextPageToken;
    yield response;
  } while (pageToken !== "");
}

/**
 * Iterates over the records of a list, page by page: `for await (const mailbox of listAll(client.mailboxes.listMailboxes, { parent }))`.
 * See {@link pages}.
 */
export async function* listAll<Request extends object, Response extends ListResponse>(
  list: ListMethod<Request, Response>,
  request: Request,
  options?: CallOptions,
): AsyncGenerator<RecordOf<Response>, void, undefined> {
  for await (const page of pages(list, request, options)) {
    // The response of a list has one repeated field.
    const items = Object.entries(page).find(([name, value]) => name !== "$unknown" && Array.isArray(value))?.[1];
    yield* (items ?? []) as RecordOf<Response>[];
  }
}
