// Calls of a real server, and of a gRPC server in this process for failures that a healthy server doesn't cause.

import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:http2";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { inspect } from "node:util";

import { ConnectError } from "@connectrpc/connect";
import { create } from "@bufbuild/protobuf";

import { Code, connect, connectFromEnvironment, ErrorReason, generateKeyText, listAll, pages, SealwardError } from "@sealward/client";
import { MailboxSchema, MailboxService, UpdateMailboxRequestSchema } from "@sealward/client/mail/v1";
import { AccessService, Reencryption_State } from "@sealward/client/v1";

import { grpcServer, internal, ORGANIZATION, serverFolder, startServer, tokenIssuer, unanswered } from "./support.mjs";

const { BadRequestSchema, ErrorInfoSchema, RequestInfoSchema, RetryInfoSchema } = await internal("gen/google/rpc/error_details_pb");

let server;
let writer;
before(async () => {
  server = await startServer({ settings: { "limits.key_changes_per_hour": 0 } });
  writer = server.client("writer");
});
after(() => server.stop());

const mailboxes = (count, prefix) =>
  Promise.all(
    Array.from({ length: count }, (_, index) =>
      writer.mailboxes.createMailbox({ parent: ORGANIZATION, mailbox: { displayName: `${prefix}${index}` } }),
    ),
  );

test("an error of the server has all its details", async () => {
  const failure = await writer.mailboxes
    .createMailbox({ parent: ORGANIZATION, mailbox: { displayName: "x".repeat(201), regardingObjectId: "no" } })
    .catch((error) => error);
  assert.ok(failure instanceof SealwardError);
  assert.deepEqual(
    [failure.code, failure.codeName, failure.reason, failure.reasonName, failure.origin, failure.method],
    [Code.InvalidArgument, "INVALID_ARGUMENT", ErrorReason.FIELD_INVALID, "FIELD_INVALID", "server", "sealward.mail.v1.MailboxService/CreateMailbox"],
  );
  assert.match(failure.callId, /^[0-9a-f-]{36}$/);
  assert.equal(failure.message, `FIELD_INVALID: ${failure.serverMessage}`);
  const fields = failure.fieldViolations.map(({ field, reason }) => [field, reason]);
  assert.deepEqual(fields[0], ["mailbox.display_name", "TOO_LONG"]);
  assert.equal(fields.length, 2);
  for (const violation of failure.fieldViolations) assert.notEqual(violation.description, "");
});

test("an idempotency key is generated, and a repetition takes effect once", async () => {
  const requestId = randomUUID();
  const request = { parent: ORGANIZATION, mailbox: { displayName: "once" }, requestId };
  const [first, second] = [await writer.mailboxes.createMailbox(request), await writer.mailboxes.createMailbox(request)];
  assert.equal(first.name, second.name);
  const [one, other] = await mailboxes(2, "generated");
  assert.notEqual(one.name, other.name);
  // The program's own message isn't changed.
  const update = create(UpdateMailboxRequestSchema, { mailbox: { name: first.name, displayName: "y" }, updateMask: { paths: ["display_name"] } });
  assert.equal((await writer.mailboxes.updateMailbox(update)).displayName, "y");
  assert.equal(update.requestId, "");
});

test("lists are iterated over page by page", async () => {
  const made = await mailboxes(5, "listed");
  const request = { parent: ORGANIZATION, pageSize: 2, filter: 'display_name = "listed*"', returnTotalSize: true };
  const names = [];
  for await (const mailbox of listAll(writer.mailboxes.listMailboxes, request)) names.push(mailbox.name);
  assert.deepEqual(names.sort(), made.map(({ name }) => name).sort());
  const sizes = [];
  for await (const page of pages(writer.mailboxes.listMailboxes, request)) sizes.push([page.mailboxes.length, page.totalSize]);
  assert.deepEqual(sizes, [[2, 5n], [2, 5n], [1, 5n]]);
  const organizations = [];
  for await (const organization of listAll(server.client("reader").organizations.listOrganizations, {})) organizations.push(organization.name);
  assert.deepEqual(organizations, [ORGANIZATION]);
});

test("a key change is followed to its end", async () => {
  const admin = server.client("admin");
  await writer.mailboxes.createMailbox({ parent: ORGANIZATION, mailbox: { displayName: "sealed", password: "a password" } });
  const changed = await admin.changeKey(ORGANIZATION, generateKeyText());
  assert.match(changed.fingerprint, /^[0-9a-f]{4}(-[0-9a-f]{4}){3}$/);
  let last;
  for await (const progress of changed) last = progress;
  assert.deepEqual([last.state, last.keyVersion, last.cellsDone], [Reencryption_State.DONE, changed.keyVersion, last.cellsTotal]);
});

test("a watched re-encryption goes on over connections that end", async () => {
  const aging = await startServer({
    settings: {
      "limits.connection_age_max_seconds": 1,
      "limits.connection_grace_seconds": 1,
      "limits.reencryption_batch_cells": 1,
      "limits.reencryption_pause_ms": 1500,
    },
  });
  const client = aging.client("writer");
  for (let number = 0; number < 3; number++) {
    await client.mailboxes.createMailbox({ parent: ORGANIZATION, mailbox: { displayName: "x", password: "a password" } });
  }
  const admin = aging.client("admin");
  let [messages, last] = [0, undefined];
  for await (const progress of await admin.changeKey(ORGANIZATION, generateKeyText())) {
    messages += 1;
    last = progress;
  }
  assert.equal(last.state, Reencryption_State.DONE);
  assert.equal(last.cellsDone, 3n);
  assert.ok(messages > 3);
  await aging.stop();
});

test("a stream that a program stops reading ends at the server too", async () => {
  const limited = await startServer({
    settings: { "limits.streams_per_identity_max": 1, "limits.reencryption_batch_cells": 1, "limits.reencryption_pause_ms": 60_000 },
  });
  const client = limited.client("writer");
  for (const displayName of ["one", "other"]) {
    await client.mailboxes.createMailbox({ parent: ORGANIZATION, mailbox: { displayName, password: "a password" } });
  }
  const admin = limited.client("admin");
  const watch = async () => {
    for await (const { state } of admin.watchReencryption(ORGANIZATION)) return state;
    return undefined;
  };
  for await (const { state } of await admin.changeKey(ORGANIZATION, generateKeyText())) {
    assert.equal(state, Reencryption_State.RUNNING);
    break;
  }
  // The server hears of it a moment later. A stream that stays open would never let another one begin.
  let outcome;
  do outcome = await watch().catch((error) => error.reasonName);
  while (outcome === "IN_FLIGHT_LIMIT");
  assert.equal(outcome, Reencryption_State.RUNNING);
  await limited.stop({ signal: "SIGKILL" });
});

test("streams go both ways: an export is imported", async () => {
  const admin = server.client("admin");
  await admin.organizations.createOrganization({ organizationId: "contoso" });
  const chunks = [];
  for await (const { chunk } of admin.organizations.exportOrganization({ name: "organizations/contoso" })) chunks.push(chunk);
  assert.ok(chunks.length > 0);
  await admin.organizations.deleteOrganization({ name: "organizations/contoso", confirmName: "organizations/contoso" });
  const imported = await admin.organizations.importOrganization(
    (async function* () {
      for (const [index, chunk] of chunks.entries()) yield index === 0 ? { organizationId: "contoso", chunk } : { chunk };
    })(),
  );
  assert.equal(imported.name, "organizations/contoso");
});

test("a deadline is kept, and a program can cancel", async (context) => {
  const grpc = await grpcServer(context, server, MailboxService, { listMailboxes: unanswered });
  const client = grpc.client();
  const failure = await client.mailboxes.listMailboxes({ parent: ORGANIZATION }, { timeoutMs: 20 }).catch((error) => error);
  assert.equal(failure.code, Code.DeadlineExceeded);
  assert.equal(failure.reason, ErrorReason.DEADLINE_EXCEEDED);
  client.close();
  const controller = new AbortController();
  controller.abort();
  const canceled = await writer.mailboxes.listMailboxes({ parent: ORGANIZATION }, { signal: controller.signal }).catch((error) => error);
  assert.deepEqual([canceled.code, canceled.origin], [Code.Canceled, "canceled"]);
});

test("a timeout can be longer than the longest timer", async () => {
  for (const timeoutMs of [100_000_000, 2_147_483_547, Infinity]) {
    assert.equal((await writer.access.whoAmI({}, { timeoutMs })).identity, "cn:writer");
    const client = server.client("admin", { timeoutMs, connectTimeoutMs: timeoutMs });
    assert.equal((await client.access.whoAmI({})).identity, "cn:admin");
    for await (const { state } of client.watchReencryption(ORGANIZATION, { timeoutMs })) assert.notEqual(state, undefined);
    client.close();
  }
});

test("certificates are verified, also if the environment says otherwise", async () => {
  const origin = (client) => client.access.whoAmI({}).then(() => "answered", (error) => error.origin);
  assert.equal(await origin(server.client("writer")), "answered");
  assert.equal(await origin(connect(server.url)), "tls_refused");
  assert.equal(await origin(server.client("writer", { domainName: "other.example.org" })), "tls_refused");
  const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
  assert.equal(await origin(connect(server.url)), "tls_refused");
  if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
  assert.equal(await origin(connect("https://127.0.0.1:1", { retry: false })), "not_connected");
  // Certificate, key and CA as bytes; the options of the environment.
  const read = (name) => readFileSync(server.file(name));
  const bytes = { ca: read("ca.pem"), identity: { certificate: read("writer.pem"), key: read("writer.key") } };
  assert.equal(await origin(connect(server.url, bytes)), "answered");
  const reader = connectFromEnvironment({}, { SEALWARD_DEV: server.dev, SEALWARD_AS: "reader" });
  assert.equal((await reader.access.whoAmI({})).identity, "cn:reader");
});

test("a server that was restarted is called again", async () => {
  const restarted = await startServer();
  const client = restarted.client("reader");
  await client.access.whoAmI({});
  const listen = new URL(restarted.url).host;
  await restarted.stop({ keep: true });
  const waiting = client.access.whoAmI({});
  const again = await startServer({ folder: restarted.folder, listen });
  assert.equal((await waiting.catch(() => client.access.whoAmI({}))).identity, "cn:reader");
  await again.stop();
});

test("tokens are asked for again when the server refuses them", async () => {
  const { append, identity, token, writeKeys } = tokenIssuer(["record-reader"]);
  const folder = await serverFolder({ append });
  writeKeys(folder);
  const withTokens = await startServer({ folder });
  const asked = [];
  const client = (source) => connect(withTokens.url, { ca: withTokens.file("ca.pem"), [typeof source === "string" ? "bearerToken" : "tokenSource"]: source });

  const source = ({ forceRefresh }) => {
    asked.push(forceRefresh);
    return token(forceRefresh ? 600 : -600);
  };
  assert.equal((await client(source).access.whoAmI({})).identity, identity);
  assert.deepEqual(asked, [false, true]);

  // The same for a stream, whose error arrives in the same way.
  asked.length = 0;
  const failure = await (async () => {
    for await (const _ of client(source).dataEncryption.watchReencryption({ organization: ORGANIZATION }));
  })().catch((error) => error);
  assert.deepEqual([failure.reasonName, asked], ["PRIVILEGE_MISSING", [false, true]]);

  // Only once, and not for a fixed token.
  asked.length = 0;
  const refused = await client(({ forceRefresh }) => (asked.push(forceRefresh), token(-600))).access.whoAmI({}).catch((error) => error);
  assert.deepEqual([refused.code, asked], [Code.Unauthenticated, [false, true]]);
  await assert.rejects(client(token(-600)).access.whoAmI({}), { code: Code.Unauthenticated });
  assert.equal((await client(token(600)).access.whoAmI({})).identity, identity);
  const none = await client(() => Promise.reject(new RangeError("no token today"))).access.whoAmI({}).catch((error) => error);
  assert.ok(none instanceof SealwardError && none.cause instanceof RangeError);
  assert.deepEqual([none.origin, none.message], ["client", "the token source failed"]);

  const file = join(folder, "token");
  writeFileSync(file, token(600));
  const fromFile = connect(withTokens.url, { ca: withTokens.file("ca.pem"), bearerTokenFile: file });
  assert.equal((await fromFile.access.whoAmI({})).identity, identity);
  await withTokens.stop();
});

const status = (code, reason, { delay, domain = "sealward" } = {}) =>
  new ConnectError("words", code, undefined, [
    { desc: ErrorInfoSchema, value: { reason, domain, metadata: { limit: "3" } } },
    ...(delay === undefined ? [] : [{ desc: RetryInfoSchema, value: { retryDelay: { seconds: 0n, nanos: delay * 1_000_000 } } }]),
    { desc: BadRequestSchema, value: { fieldViolations: [{ field: "a.b", description: "too long", reason: "TOO_LONG" }] } },
    { desc: RequestInfoSchema, value: { requestId: "call-1" } },
  ]);

test("calls are repeated with the same idempotency key, and only those that may be", async (context) => {
  const seen = [];
  let failures = 2;
  let failure = () => status(Code.Unavailable, "OUTCOME_UNKNOWN");
  const answer = (request, context) => {
    seen.push([request.requestId, context.requestHeader.get("sealward-client"), context.requestHeader.has("grpc-timeout")]);
    if (failures-- > 0) throw failure();
    context.responseHeader.set("sealward-server", "9.8.7");
    return { name: "x" };
  };
  const grpc = await grpcServer(context, server, MailboxService, { createMailbox: answer, getMailbox: answer, deleteMailbox: answer });
  const client = grpc.client();

  await client.mailboxes.createMailbox({ parent: ORGANIZATION });
  assert.equal(seen.length, 3);
  assert.equal(new Set(seen.map(([id]) => id)).size, 1);
  assert.match(seen[0][0], /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
  assert.match(seen[0][1], /^typescript\/\d+\.\d+\.\d+$/);
  assert.ok(seen[0][2], "no deadline was sent");
  assert.equal(client.serverVersion, "9.8.7");

  // A read isn't repeated after an unknown outcome, but after UNAVAILABLE and a short delay.
  const outcome = async (call, made, count) => {
    seen.length = 0;
    failures = count;
    failure = made;
    const result = await call().then(() => "answered", (error) => error.reasonName);
    return [result, seen.length];
  };
  const get = () => client.mailboxes.getMailbox({ name: "x" });
  const unavailable = () => status(Code.Unavailable, "STORE_UNAVAILABLE");
  assert.deepEqual(await outcome(get, () => status(Code.Unavailable, "OUTCOME_UNKNOWN"), 9), ["OUTCOME_UNKNOWN", 1]);
  assert.deepEqual(await outcome(get, unavailable, 2), ["answered", 3]);
  assert.deepEqual(await outcome(get, unavailable, 9), ["STORE_UNAVAILABLE", 4]);
  assert.deepEqual(await outcome(get, () => status(Code.ResourceExhausted, "RATE_LIMITED", { delay: 10 }), 1), ["answered", 2]);
  assert.deepEqual(await outcome(get, () => status(Code.ResourceExhausted, "RATE_LIMITED"), 1), ["RATE_LIMITED", 1]);
  const dryRun = () => client.mailboxes.deleteMailbox({ name: "x", validateOnly: true });
  assert.deepEqual(await outcome(dryRun, unavailable, 1), ["STORE_UNAVAILABLE", 1]);
  assert.equal(seen[0][0], "");
  // Without time for the pause, the call fails with the server's error.
  const hurried = () => client.mailboxes.getMailbox({ name: "x" }, { timeoutMs: 49 });
  assert.deepEqual(await outcome(hurried, unavailable, 9), ["STORE_UNAVAILABLE", 1]);
  const never = grpc.client({ retry: false });
  assert.deepEqual(await outcome(() => never.mailboxes.createMailbox({}), unavailable, 1), ["STORE_UNAVAILABLE", 1]);
  assert.match(seen[0][0], /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
  client.close();
  never.close();
});

test("errors of other servers stay readable", async (context) => {
  let failure;
  const grpc = await grpcServer(context, server, MailboxService, {
    getMailbox() {
      throw failure;
    },
  });
  const client = grpc.client({ retry: false });
  const call = (thrown) => {
    failure = thrown;
    return client.mailboxes.getMailbox({ name: "x" }).catch((error) => error);
  };
  const newer = await call(status(Code.FailedPrecondition, "FROM_THE_FUTURE", { delay: 250 }));
  assert.deepEqual([newer.reason, newer.reasonName, newer.message], [ErrorReason.UNSPECIFIED, "FROM_THE_FUTURE", "FROM_THE_FUTURE: words"]);
  assert.deepEqual([newer.metadata, newer.retryDelayMs, newer.callId], [{ limit: "3" }, 250, "call-1"]);
  assert.deepEqual(newer.fieldViolations, [{ field: "a.b", description: "too long", reason: "TOO_LONG" }]);
  const mail = await call(status(Code.FailedPrecondition, "MAILBOX_INACTIVE", { domain: "sealward.mail" }));
  assert.deepEqual([mail.reason, mail.mailReason, mail.reasonName], [0, 1, "MAILBOX_INACTIVE"]);
  const foreign = await call(status(Code.FailedPrecondition, "NOT_FOUND", { domain: "example.org" }));
  assert.deepEqual([foreign.reason, foreign.reasonName, foreign.message], [0, undefined, "FAILED_PRECONDITION: words"]);
  for (const old of [new ConnectError("no", Code.Unimplemented), status(Code.Unimplemented, "METHOD_UNKNOWN")]) {
    assert.match((await call(old)).message, /^(UNIMPLEMENTED|METHOD_UNKNOWN): the server doesn't have this method: it may be older than this client$/);
  }
  const unsupported = await call(status(Code.Unimplemented, "PROTOCOL_UNSUPPORTED"));
  assert.equal(unsupported.message, "PROTOCOL_UNSUPPORTED: words");
  // So do those of another service.
  const other = await client.service(AccessService).whoAmI({}).catch((error) => error);
  assert.ok(other instanceof SealwardError && other.code === Code.Unimplemented);
  client.close();
});

test("a token source that hangs doesn't hold a call beyond its deadline", async () => {
  const client = connect(server.url, { ca: server.file("ca.pem"), tokenSource: () => new Promise(() => {}), timeoutMs: 50 });
  const failure = await client.access.whoAmI({}).catch((error) => error);
  assert.deepEqual([failure.code, failure.origin], [Code.DeadlineExceeded, "timed_out"]);
});

test("an answer that isn't a message is unreadable", async (context) => {
  const grpc = await grpcServer(context, server, AccessService, { whoAmI: () => ({ identity: randomBytes(4096).toString("hex") }) });
  const client = grpc.client({ messageSizeMaxBytes: 1024 });
  const failure = await client.access.whoAmI({}).catch((error) => error);
  assert.deepEqual([failure.code, failure.origin], [Code.Internal, "unreadable"], inspect(failure));
  client.close();
});

test("a closed client ends its calls as canceled, and doesn't connect again", async (context) => {
  let arrived;
  const grpc = await grpcServer(context, server, AccessService, {
    whoAmI: () => {
      arrived();
      return new Promise(() => {});
    },
  });
  const client = grpc.client();
  const call = () => client.access.whoAmI({}).catch((error) => error);
  const isRunning = new Promise((resolve) => (arrived = resolve));
  const running = call();
  await isRunning;
  client.close();
  for (const failure of [await running, await call(), await call()]) {
    assert.deepEqual([failure.code, failure.origin], [Code.Canceled, "canceled"], inspect(failure));
  }
  assert.equal(grpc.sessions.size, 1);
  // A client that was never used.
  const unused = grpc.client();
  unused.close();
  await assert.rejects(unused.access.whoAmI({}), { origin: "canceled" });
  assert.equal(grpc.sessions.size, 1);
});

/** Begins to answer each call, and resets its stream, as the server does it. Node's server would end the stream first. */
async function resettingServer(context, errorCode) {
  const frame = (type, flags, id, payload = Buffer.alloc(0)) => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(id, 5);
    return Buffer.concat([head, payload]);
  };
  const [DATA, HEADERS, RST_STREAM, SETTINGS] = [0, 1, 3, 4];
  const [ACK, END_HEADERS] = [1, 4];
  const contentType = "application/grpc+proto";
  // `:status: 200`, and `content-type` by its index in the table of HPACK.
  const headers = Buffer.concat([Buffer.from([0x88, 0x0f, 0x10, contentType.length]), Buffer.from(contentType)]);
  const part = Buffer.from([0, 0, 0, 0, 100, 1, 2, 3]);
  const code = Buffer.alloc(4);
  code.writeUInt32BE(errorCode);
  const state = { calls: 0, answers: false, sockets: new Set() };

  const tls = { cert: readFileSync(server.file("server.pem")), key: readFileSync(server.file("server.key")), ALPNProtocols: ["h2"] };
  const listener = createTlsServer(tls, (socket) => {
    state.sockets.add(socket);
    socket.on("error", () => undefined);
    socket.write(frame(SETTINGS, 0, 0));
    let received = Buffer.alloc(0);
    let preface = 24;
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < preface) return;
      received = received.subarray(preface);
      preface = 0;
      while (received.length >= 9 && received.length >= 9 + received.readUIntBE(0, 3)) {
        const [type, flags, id] = [received[3], received[4], received.readUInt32BE(5)];
        received = received.subarray(9 + received.readUIntBE(0, 3));
        if (type === SETTINGS && !(flags & ACK)) socket.write(frame(SETTINGS, ACK, 0));
        if (type !== HEADERS) continue;
        state.calls += 1;
        const answer = state.answers ? [frame(HEADERS, END_HEADERS, id, headers), frame(DATA, 0, id, part)] : [];
        socket.write(Buffer.concat([...answer, frame(RST_STREAM, 0, id, code)]));
      }
    });
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  context.after(() => {
    for (const socket of state.sockets) socket.destroy();
    listener.close();
  });
  return Object.assign(state, { url: `https://127.0.0.1:${listener.address().port}` });
}

test("a call that the server resets is cancelled by the server, and not lost", async (context) => {
  const resetting = await resettingServer(context, constants.NGHTTP2_CANCEL);
  const client = connect(resetting.url, server.as("writer"));
  context.after(() => client.close());
  const watch = async () => {
    for await (const _ of client.dataEncryption.watchReencryption({ organization: ORGANIZATION }));
  };
  for (resetting.answers of [false, true]) {
    for (const call of [() => client.mailboxes.getMailbox({ name: "x" }), watch]) {
      resetting.calls = 0;
      const failure = await call().catch((error) => error);
      assert.deepEqual([failure.code, failure.origin, failure.reasonName, resetting.calls], [Code.Canceled, "server", undefined, 1], inspect(failure));
      assert.equal(failure.message, "CANCELLED: the server reset the call");
    }
  }
});

test("a call is lost if its connection ends, however it ends", async (context) => {
  let arrived;
  const hangs = () => {
    arrived();
    return new Promise(() => {});
  };
  const grpc = await grpcServer(context, server, AccessService, { whoAmI: hangs });
  // Node reports the reset after a GOAWAY as the end of each stream, without an error.
  for (const isAnnounced of [false, true]) {
    for (const end of ["destroy", "resetAndDestroy"]) {
      const client = grpc.client({ retry: false });
      const isRunning = new Promise((resolve) => (arrived = resolve));
      const running = client.access.whoAmI({}).catch((error) => error);
      await isRunning;
      const session = [...grpc.sessions].at(-1);
      const socket = [...grpc.sockets].at(-1);
      if (isAnnounced) {
        session.goaway(constants.NGHTTP2_NO_ERROR);
        // The answer to a ping is behind the announcement.
        await new Promise((resolve) => session.ping(resolve));
      }
      socket[end]();
      const failure = await running;
      assert.deepEqual([failure.code, failure.origin], [Code.Unavailable, "broken"], inspect(failure));
      assert.equal(failure.mayHaveTakenEffect, false);
      client.close();
    }
  }
});

test("a call that the server resets because of its load isn't repeated", async (context) => {
  const overloaded = await resettingServer(context, constants.NGHTTP2_ENHANCE_YOUR_CALM);
  const client = connect(overloaded.url, server.as("writer"));
  context.after(() => client.close());
  const get = () => client.mailboxes.getMailbox({ name: "x" });
  const createOne = () => client.mailboxes.createMailbox({ parent: ORGANIZATION });
  const watch = async () => {
    for await (const _ of client.dataEncryption.watchReencryption({ organization: ORGANIZATION }));
  };
  for (overloaded.answers of [false, true]) {
    for (const call of [get, createOne, watch]) {
      overloaded.calls = 0;
      const failure = await call().catch((error) => error);
      assert.deepEqual([failure.code, failure.origin, overloaded.calls], [Code.ResourceExhausted, "server", 1], inspect(failure));
      assert.match(failure.message, /^RESOURCE_EXHAUSTED: the server reset the call/);
    }
  }
});
