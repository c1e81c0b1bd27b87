// Errors that the server sends from the headers of a call, before the client has sent its request: they arrive at other libraries as they
// were sent, not as a reset stream or connection. grpc-js, and connect-node with gRPC and Connect over HTTP/2 and HTTP/1.1.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test, { after, before } from "node:test";
import { inspect } from "node:util";

import { create, toBinary } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import grpc from "@grpc/grpc-js";

import { SealwardError } from "@sealward/client";
import { CreateMailboxRequestSchema, MailboxService } from "@sealward/client/mail/v1";
import { ImportOrganizationRequestSchema, OrganizationService } from "@sealward/client/v1";

import { internal, ORGANIZATION, startServer } from "./support.mjs";

const { ErrorInfoSchema } = await internal("gen/google/rpc/error_details_pb");

/** The calls of each kind, one after the other on the same connection. */
const REPETITIONS = 5;

/** The sizes of requests, in bytes, around the 64 KiB that the server discards of a request that it has refused. */
const SIZES = [1 << 10, (64 << 10) - 256, 64 << 10, (64 << 10) + 1024, 256 << 10];

/** Over HTTP/1.1, a larger request can break the connection before the client reads the error: only the connection can be closed. */
const SIZES_OF_HTTP1 = SIZES.filter((size) => size < 64 << 10);

/** The size of a message in a stream of requests, in bytes. */
const CHUNK_BYTES = 16 << 10;

/** Who calls, and the refusal. */
const REFUSALS = {
  reader: [Code.PermissionDenied, "PRIVILEGE_MISSING"],
  nobody: [Code.Unauthenticated, "IDENTITY_REQUIRED"],
  plaintext: [Code.FailedPrecondition, "HTTPS_REQUIRED"],
};

let server;
before(async () => {
  server = await startServer({ plaintext: true });
});
after(() => server.stop());

/** The PEM files of a caller. */
function files(caller) {
  const read = (name) => readFileSync(server.file(name));
  const identity = caller === "nobody" ? {} : { cert: read(`${caller}.pem`), key: read(`${caller}.key`) };
  return { ca: read("ca.pem"), ...identity };
}

const chunks = (size) =>
  Array.from({ length: Math.ceil(size / CHUNK_BYTES) }, (_, index) => ({
    organizationId: index === 0 ? "contoso" : "",
    chunk: new Uint8Array(Math.min(CHUNK_BYTES, size - index * CHUNK_BYTES)),
  }));

const mailbox = (size) => ({ parent: ORGANIZATION, mailbox: { displayName: "x".repeat(size) } });

/** All calls of a library: `importing(size, isLate)` and `creating(size)` return the code and the reason of the failure. */
async function refused(expected, { importing, creating }, sizes = SIZES) {
  for (const size of sizes) {
    for (let repetition = 0; repetition < REPETITIONS; repetition++) {
      // A late client ends its side only when it has the answer.
      for (const isLate of [false, true]) {
        assert.deepEqual(await importing(size, isLate), expected, `import of ${size} bytes, late: ${isLate}`);
      }
      assert.deepEqual(await creating(size), expected, `create with ${size} bytes`);
    }
  }
}

for (const [caller, expected] of Object.entries(REFUSALS)) {
  test(`grpc-js gets ${expected[1]} while it still sends`, async (context) => {
    const { ca, cert, key } = caller === "plaintext" ? {} : files(caller);
    const credentials = caller === "plaintext" ? grpc.credentials.createInsecure() : grpc.credentials.createSsl(ca, key ?? null, cert ?? null);
    const client = new grpc.Client(new URL(caller === "plaintext" ? server.plaintextUrl : server.url).host, credentials);
    context.after(() => client.close());
    const same = (bytes) => bytes;
    const outcome = (error) => {
      const [status] = error?.metadata?.get("grpc-status-details-bin") ?? [];
      return [error?.code, status?.includes(expected[1]) ? expected[1] : inspect(error)];
    };
    await refused(expected, {
      importing: (size, isLate) =>
        new Promise((resolve) => {
          const path = "/sealward.v1.OrganizationService/ImportOrganization";
          const call = client.makeClientStreamRequest(path, same, same, (error) => {
            resolve(outcome(error));
            if (isLate) call.end();
          });
          call.on("error", () => undefined);
          for (const chunk of chunks(size)) {
            call.write(Buffer.from(toBinary(ImportOrganizationRequestSchema, create(ImportOrganizationRequestSchema, chunk))));
          }
          if (!isLate) call.end();
        }),
      creating: (size) =>
        new Promise((resolve) => {
          const request = Buffer.from(toBinary(CreateMailboxRequestSchema, create(CreateMailboxRequestSchema, mailbox(size))));
          client.makeUnaryRequest("/sealward.mail.v1.MailboxService/CreateMailbox", same, same, request, (error) => resolve(outcome(error)));
        }),
    });
  });

  const transports = {
    "gRPC over HTTP/2": (baseUrl, nodeOptions) => createGrpcTransport({ baseUrl, nodeOptions }),
    "Connect over HTTP/2": (baseUrl, nodeOptions) => createConnectTransport({ baseUrl, nodeOptions, httpVersion: "2" }),
    "Connect over HTTP/1.1": (baseUrl, nodeOptions) => createConnectTransport({ baseUrl, nodeOptions, httpVersion: "1.1" }),
  };
  for (const [name, transportOf] of Object.entries(transports)) {
    test(`connect-node with ${name} gets ${expected[1]} while it still sends`, async () => {
      const isPlaintext = caller === "plaintext";
      const transport = transportOf(isPlaintext ? server.plaintextUrl : server.url, isPlaintext ? {} : files(caller));
      const outcome = (error) => [error.code, error.findDetails?.(ErrorInfoSchema)[0]?.reason ?? inspect(error)];
      const sizes = name.endsWith("HTTP/1.1") ? SIZES_OF_HTTP1 : SIZES;
      await refused(expected, calls(createClient(OrganizationService, transport), createClient(MailboxService, transport), outcome), sizes);
    });
  }
}

test("this client gets PRIVILEGE_MISSING while it still sends", async (context) => {
  const client = server.client("reader");
  context.after(() => client.close());
  const outcome = (error) => [error.code, error instanceof SealwardError ? error.reasonName : inspect(error)];
  await refused(REFUSALS.reader, calls(client.organizations, client.mailboxes, outcome));
});

/** The calls of clients by Connect. */
function calls(organizations, mailboxes, outcome) {
  return {
    importing: async (size, isLate) => {
      let answered;
      const answer = new Promise((resolve) => (answered = resolve));
      const requests = async function* () {
        yield* chunks(size);
        if (isLate) await answer;
      };
      try {
        return await organizations.importOrganization(requests()).then(() => ["answered"], outcome);
      } finally {
        answered();
      }
    },
    creating: (size) => mailboxes.createMailbox(mailbox(size)).then(() => ["answered"], outcome),
  };
}
