// Imports of records, which stream in both directions: with a real server, and with a server in this process.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import test, { after, before } from "node:test";
import { inspect } from "node:util";

import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

import { Code, connect, ErrorReason, itemError, SealwardError, Secret } from "@sealward/client";
import { MailboxService } from "@sealward/client/mail/v1";
import { ItemStatusSchema } from "@sealward/client/v1";

import { internal, ORGANIZATION, startServer } from "./support.mjs";

const { ErrorInfoSchema } = await internal("gen/google/rpc/error_details_pb");
const PASSWORD = "canary in the mine";

let server;
let writer;
before(async () => {
  server = await startServer();
  writer = server.client("writer");
});
after(() => server.stop());

const message = (parent, ...names) => ({ parent, requests: names.map((displayName) => ({ mailbox: { displayName, password: PASSWORD } })) });
const FIRST = message(ORGANIZATION, "Sales");

async function* iterate(...messages) {
  yield* messages;
}

/** Reads the results to the end, or to the error. */
async function read(responses) {
  const results = [];
  try {
    for await (const response of responses) results.push(...response.results.map(({ result }) => result));
  } catch (error) {
    return { results, error };
  }
  return { results };
}

test("every request of an import has a result", async () => {
  const messages = [message(ORGANIZATION, "Sales", "x".repeat(201)), message("", "Support")];
  const { results, error } = await read(writer.mailboxes.importMailboxes(iterate(...messages)));
  assert.equal(error, undefined);
  assert.deepEqual(results.map((result) => result.case), ["name", "error", "name"]);
  const failure = itemError(results[1].value);
  assert.ok(failure instanceof SealwardError);
  assert.deepEqual(
    [failure.code, failure.reason, failure.origin, failure.mayHaveTakenEffect],
    [Code.InvalidArgument, ErrorReason.FIELD_INVALID, "server", false],
  );
  assert.deepEqual(failure.fieldViolations.map(({ field, reason }) => [field, reason]), [["mailbox.display_name", "TOO_LONG"]]);
  assert.ok(!inspect([results, failure], { depth: 10 }).includes(PASSWORD));
  const connector = server.client("connector");
  const { password } = await connector.revealAttributes(results[2].value, ["password"], "a test");
  assert.equal(password.exposeText(), PASSWORD);
});

test("results arrive while requests are sent", async () => {
  let created;
  const first = new Promise((resolve) => (created = resolve));
  const messages = async function* () {
    yield FIRST;
    // The second request needs the result of the first.
    yield message("", await first);
  };
  let count = 0;
  for await (const { results } of writer.mailboxes.importMailboxes(messages())) {
    created(results[0].result.value);
    count += results.length;
  }
  assert.equal(count, 2);
});

test("a failed import is a typed error", async () => {
  const refused = await read(server.client("reader").mailboxes.importMailboxes(iterate(FIRST)));
  assert.deepEqual([refused.error.reason, refused.error.mayHaveTakenEffect], [ErrorReason.PRIVILEGE_MISSING, false]);
  const wrong = await read(writer.mailboxes.importMailboxes(iterate(FIRST, message("organizations/other", "Sales"))));
  assert.equal(wrong.results.length, 1);
  assert.deepEqual([wrong.error.reason, wrong.error.mayHaveTakenEffect], [ErrorReason.FIELD_INVALID, true]);
  assert.match(wrong.error.callId, /^[0-9a-f-]{36}$/);
  const late = await read(writer.mailboxes.importMailboxes(withoutEnd().messages(), { timeoutMs: 500 }));
  assert.equal(late.error.reason, ErrorReason.DEADLINE_EXCEEDED);
});

test("a failure of the program's requests ends the import", async () => {
  const failure = new Error("no more rows");
  const messages = async function* () {
    yield FIRST;
    throw failure;
  };
  const { error } = await read(writer.mailboxes.importMailboxes(messages()));
  assert.deepEqual([error.origin, error.serverMessage, error.mayHaveTakenEffect], ["client", "the requests of the stream failed", true]);
  assert.equal(error.cause, failure);
  for (const password of [new Secret(PASSWORD), "\ud800"]) {
    const unusable = await read(writer.mailboxes.importMailboxes(iterate({ parent: ORGANIZATION, requests: [{ mailbox: { password } }] })));
    assert.deepEqual([unusable.error.origin, unusable.error.code, unusable.results.length], ["client", Code.InvalidArgument, 0]);
    assert.match(unusable.error.message, /password/);
    assert.ok(!inspect(unusable.error).includes(PASSWORD));
  }
});

/** Requests that wait after the first one, and whether they were ended. */
function withoutEnd() {
  const state = { isEnded: false };
  state.messages = () => {
    let count = 0;
    return {
      [Symbol.asyncIterator]: () => ({
        next: () => (count++ === 0 ? Promise.resolve({ done: false, value: FIRST }) : new Promise(() => {})),
        return: () => {
          state.isEnded = true;
          return Promise.resolve({ done: true, value: undefined });
        },
      }),
    };
  };
  return state;
}

test("the end of the loop, and a signal, end an import", async () => {
  const requests = withoutEnd();
  for await (const { results } of writer.mailboxes.importMailboxes(requests.messages())) {
    assert.equal(results.length, 1);
    break;
  }
  assert.ok(requests.isEnded);
  const canceled = withoutEnd();
  const controller = new AbortController();
  const responses = writer.mailboxes.importMailboxes(canceled.messages(), { signal: controller.signal })[Symbol.asyncIterator]();
  await responses.next();
  controller.abort();
  const error = await responses.next().catch((error) => error);
  assert.deepEqual([error.origin, error.mayHaveTakenEffect], ["canceled", true]);
  assert.ok(canceled.isEnded);
});

test("an import is never repeated", async () => {
  let calls = 0;
  let refusal;
  const routes = (router) =>
    router.service(MailboxService, {
      async *importMailboxes(requests) {
        calls += 1;
        for await (const _ of requests) break;
        throw refusal;
      },
    });
  const listener = createSecureServer(
    { key: readFileSync(server.file("server.key")), cert: readFileSync(server.file("server.pem")) },
    connectNodeAdapter({ routes }),
  );
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const client = connect(`https://127.0.0.1:${listener.address().port}`, { ca: server.file("ca.pem"), tokenSource: () => "token" });
  for (const [code, reason] of [[Code.Unavailable, "SHUTTING_DOWN"], [Code.Unauthenticated, "IDENTITY_REQUIRED"]]) {
    calls = 0;
    refusal = new ConnectError("words", code, undefined, [{ desc: ErrorInfoSchema, value: create(ErrorInfoSchema, { reason, domain: "sealward" }) }]);
    const { error } = await read(client.mailboxes.importMailboxes(iterate(FIRST)));
    assert.deepEqual([error.code, error.reasonName, calls], [code, reason, 1]);
  }
  client.close();
  listener.close();
});

test("the error of an item can be uncertain or unknown", () => {
  const info = create(ErrorInfoSchema, { reason: "OUTCOME_UNKNOWN", domain: "sealward" });
  const uncertain = itemError(create(ItemStatusSchema, { code: 14, message: "words", details: [anyPack(ErrorInfoSchema, info)] }));
  assert.deepEqual([uncertain.code, uncertain.reasonName, uncertain.mayHaveTakenEffect], [Code.Unavailable, "OUTCOME_UNKNOWN", true]);
  assert.equal(itemError(create(ItemStatusSchema, { code: 99, message: "words" })).message, "UNKNOWN: words");
});
