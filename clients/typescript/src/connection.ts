/** The HTTP/2 connection to an address, with the ends of streams that Connect 2.1 doesn't report, or not as what they are. For Node. */

import type { ClientHttp2Stream } from "node:http2";
import { constants } from "node:http2";

import { Http2SessionManager } from "@connectrpc/connect-node";

import { LostStream, ResetStream } from "./errors.js";

/** Manages the connection to an address. */
export class Connection extends Http2SessionManager {
  /** Opens a stream. */
  override async request(...request: Parameters<Http2SessionManager["request"]>): Promise<ClientHttp2Stream> {
    const stream = await super.request(...request);
    reportEnd(stream);
    return stream;
  }
}

/**
 * Reports the end of a stream in the two cases in which Node only emits `close`:
 * - NO_ERROR without a response. Connect 2.1 would wait until the call times out, and a stream for ever. This happens if the connection is reset
 *   after the server has announced that it will end it.
 * - CANCEL. Node has the same code for a stream that the server resets, and for all streams of a lost connection.
 *
 * Called before Connect listens to the stream, so that Connect receives this error first. It ignores the end of a finished or canceled call.
 */
function reportEnd(stream: ClientHttp2Stream): void {
  const { session } = stream;
  let isAnswered = false;
  stream.once("response", () => {
    isAnswered = true;
  });
  stream.once("close", () => {
    if (stream.rstCode === constants.NGHTTP2_CANCEL && session?.destroyed === false) stream.emit("error", new ResetStream());
    if (stream.rstCode === constants.NGHTTP2_NO_ERROR && !isAnswered) stream.emit("error", new LostStream());
  });
}
