// Secrets don't print: every message with a secret field is printed in every way, and the output is searched.

import assert from "node:assert/strict";
import { Console } from "node:console";
import { readFileSync } from "node:fs";
import { Writable } from "node:stream";
import test, { after, before } from "node:test";
import { format, inspect } from "node:util";
import { serialize } from "node:v8";

import * as protobuf from "@bufbuild/protobuf";
import pino from "pino";
import winston from "winston";

import { clone, connect, create, fromBinary, fromJson, generateKeyText, protect, Secret } from "@sealward/client";
import { SecretValueSchema, SetDataEncryptionKeyRequestSchema } from "@sealward/client/v1";
import { MailboxSchema, MailboxService } from "@sealward/client/mail/v1";

import { grpcServer, MESSAGES, ORGANIZATION, startServer, unanswered } from "./support.mjs";

const CANARY = "Canary-7Kq2wZ9x-Canary";
const BYTES = new TextEncoder().encode(CANARY);

/** How the canary looks in output: as text, and as bytes in the notations of printers. */
const FORMS = [
  CANARY,
  Buffer.from(BYTES).toString("base64").slice(0, -4),
  Buffer.from(BYTES).toString("hex"),
  Array.from(BYTES).join(","),
  Array.from(BYTES).join(", "),
  Array.from(BYTES, (byte) => byte.toString(16).padStart(2, "0")).join(" "),
  Array.from(BYTES, (byte, index) => `"${index}":${byte}`).join(","),
];
const found = (text) => FORMS.find((form) => text.replace(/\s+/g, " ").includes(form));

const json = (value) => String(JSON.stringify(value, (_, item) => (typeof item === "bigint" ? String(item) : item)));
const all = { depth: Infinity, maxArrayLength: Infinity, maxStringLength: Infinity, breakLength: Infinity };

async function logged(log) {
  let text = "";
  const stream = new Writable({
    write(chunk, _, done) {
      text += chunk;
      done();
    },
  });
  await log(stream);
  return text;
}

/** Every way to print a value. Each must find the canary in an unprotected message, so that the search is known to work. */
const PRINTERS = {
  "console.log": (value) => logged((stream) => new Console(stream).log(inspect(value, all))),
  "console.log of an object that contains it": (value) => logged((stream) => new Console({ stdout: stream, inspectOptions: all }).log({ value })),
  "console.dir with hidden properties": (value) => logged((stream) => new Console(stream).dir(value, { ...all, showHidden: true })),
  "util.inspect with getters": (value) => inspect(value, { ...all, getters: true }),
  "util.inspect without custom functions": (value) => inspect(value, { ...all, customInspect: false }),
  "util.format %o": (value) => format("%o", json(value) && value),
  "JSON.stringify": json,
  "JSON.stringify of an error's fields": (value) => json({ ...new Error("failed", { cause: value }), cause: value }),
  "Object.entries": (value) => json(Object.entries(value)),
  "object spread": (value) => inspect({ ...value }, all),
  "Object.assign": (value) => json(Object.assign({}, value)),
  "for in": (value) => {
    const seen = [];
    for (const name in value) seen.push(inspect(value[name], all));
    return seen.join();
  },
  "structuredClone": (value) => inspect(structuredClone(value), all),
  "v8.serialize": (value) => Buffer.from(serialize(value)).toString("latin1"),
  "a chain of causes": (value) => inspect(new Error("one", { cause: new Error("two", { cause: value }) }), all),
  "an error with the message as a property": (value) => inspect(Object.assign(new Error("one"), { request: value }), all),
  "AggregateError": (value) => inspect(new AggregateError([value], "several"), all),
  "assert's difference": (value) => {
    try {
      assert.deepEqual({ value }, { other: 1 });
    } catch (error) {
      return `${error.message} ${inspect(error.actual, all)}`;
    }
  },
  "pino": (value) => logged((stream) => pino({}, stream).info({ value: JSON.parse(json(value)), spread: JSON.parse(json({ ...value })) })),
  "winston as JSON": (value) =>
    logged(async (stream) => {
      const transport = new winston.transports.Stream({ stream });
      const logger = winston.createLogger({ format: winston.format.json(), transports: [transport] });
      logger.info("message", { value });
      logger.end();
      await new Promise((done) => logger.once("finish", done));
    }),
};

/** Messages of a type with the canary in its secret fields: one for each field of a oneof. */
function inits(schema, depth = 0) {
  let made = [{}];
  for (const member of schema.members) {
    const choices =
      member.kind === "oneof"
        ? member.fields.flatMap((field) =>
            values(field, depth).map((value) => ({ [member.localName]: { case: field.localName, value } })),
          )
        : values(member, depth).map((value) => ({ [member.localName]: value }));
    if (choices.length === 0) continue;
    // The first choice joins all others; each further choice is a message of its own.
    made = [...made.map((one) => ({ ...one, ...choices[0] })), ...choices.slice(1)];
  }
  return made;
}

function values(field, depth) {
  if (field.message) {
    if (depth > 3) return [];
    const messages = inits(field.message, depth + 1).map((init) => protobuf.create(field.message, init));
    if (field.fieldKind === "list") return messages.map((message) => [message]);
    if (field.fieldKind === "map") return messages.map((message) => ({ password: message }));
    return messages;
  }
  if (!field.proto.options?.debugRedact) return [];
  return [field.scalar === protobuf.ScalarType.BYTES ? BYTES : CANARY];
}

const secretFields = (schema) => schema.fields.filter((field) => field.proto.options?.debugRedact);
const containing = MESSAGES.map((schema) => ({ schema, inits: inits(schema) })).filter(({ schema, inits }) =>
  inits.some((init) => found(inspect(protobuf.create(schema, init), all))),
);

test("every message with a secret field is covered", () => {
  const marked = MESSAGES.flatMap((schema) => secretFields(schema).map((field) => `${schema.typeName}.${field.name}`));
  const covered = containing.map(({ schema }) => schema.typeName);
  for (const field of marked) assert.ok(covered.includes(field.slice(0, field.lastIndexOf("."))), field);
  assert.ok(marked.length >= 10, `${marked.length} fields are marked`);
  console.log(`${marked.length} secret fields: ${marked.join(", ")}`);
  console.log(`${covered.length} messages contain one: ${covered.join(", ")}`);
});

test("no printer prints the secret of a protected message", async () => {
  let printed = 0;
  for (const { schema, inits } of containing) {
    for (const init of inits) {
      const plain = protobuf.create(schema, init);
      const bytes = protobuf.toBinary(schema, plain);
      const made = {
        create: create(schema, protobuf.clone(schema, plain)),
        "create from an object": create(schema, cloneInit(init)),
        clone: clone(schema, plain),
        fromBinary: fromBinary(schema, bytes),
        fromJson: fromJson(schema, protobuf.toJson(schema, plain)),
        protect: protect(schema, protobuf.fromBinary(schema, bytes)),
        "a clone of a protected message": clone(schema, fromBinary(schema, bytes)),
      };
      for (const [maker, message] of Object.entries(made)) {
        for (const [printer, print] of Object.entries(PRINTERS)) {
          const text = await print(message);
          assert.equal(found(text), undefined, `${schema.typeName} by ${maker}, printed by ${printer}`);
          printed += 1;
        }
        // The wire still has the value.
        assert.deepEqual(protobuf.toBinary(schema, message), bytes, `${schema.typeName} by ${maker}`);
        assert.deepEqual(protobuf.toJson(schema, message), protobuf.toJson(schema, plain), `${schema.typeName} by ${maker}`);
      }
    }
  }
  console.log(`${printed} outputs searched, 0 found`);
});

test("the search finds the secret of an unprotected message in every printer", async () => {
  for (const message of [
    protobuf.create(MailboxSchema, { password: CANARY }),
    protobuf.create(SecretValueSchema, { value: { case: "text", value: CANARY } }),
  ]) {
    for (const [printer, print] of Object.entries(PRINTERS)) {
      assert.ok(found(await print(message)), `${printer} doesn't show the secret: the search proves nothing`);
    }
  }
  const bytes = protobuf.create(SecretValueSchema, { value: { case: "data", value: BYTES } });
  for (const text of [inspect(bytes, all), json(bytes), Buffer.from(BYTES).toString("base64"), format("%o", Buffer.from(BYTES))]) {
    assert.ok(found(text), text);
  }
  console.log(`${Object.keys(PRINTERS).length} printers, each finds an unprotected secret`);
});

test("secret stays hidden when it is assigned, and explicit access returns it", () => {
  const mailbox = create(MailboxSchema, { displayName: "Sales" });
  mailbox.password = CANARY;
  assert.equal(mailbox.password, CANARY);
  assert.equal(found(inspect(mailbox, all)), undefined);
  assert.equal(found(json({ ...mailbox })), undefined);
  assert.equal(protobuf.fromBinary(MailboxSchema, protobuf.toBinary(MailboxSchema, mailbox)).password, CANARY);
  // Unset is still unset.
  assert.deepEqual(protobuf.toJson(MailboxSchema, create(MailboxSchema, {})), {});
});

test("fields that this version doesn't know don't print", () => {
  // Field 90 of a newer server's mailbox.
  const bytes = Uint8Array.of(0xd2, 0x05, BYTES.length, ...BYTES);
  assert.ok(found(inspect(protobuf.fromBinary(MailboxSchema, bytes), all)));
  const message = fromBinary(MailboxSchema, bytes);
  for (const print of [(value) => inspect(value, all), json]) assert.equal(found(print(message)), undefined);
  assert.deepEqual(protobuf.toBinary(MailboxSchema, message), bytes);
});

test("wrappers don't print", async () => {
  const secret = new Secret(CANARY);
  assert.equal(secret.exposeText(), CANARY);
  const key = generateKeyText();
  for (const value of [secret, { secret }, [secret], new Error("x", { cause: secret }), `${secret}`, secret + ""]) {
    for (const print of [(v) => inspect(v, { ...all, showHidden: true, getters: true }), json, String, (v) => format("%s %o %O %j", v, v, v, v)]) {
      assert.equal(found(print(value)), undefined);
    }
  }
  assert.ok(!inspect(key).includes(key.exposeText().slice(0, 5)));
});

let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

test("what a real server returns, clients, and errors don't print", async (context) => {
  const outputs = [];
  const print = (value) => outputs.push(inspect(value, { ...all, showHidden: true }), json(value), json({ ...value }), format("%s", value), String(value?.stack));
  const writer = server.client("writer");
  const connector = server.client("connector");
  const admin = server.client("admin", { timeoutMs: 20_000 });
  const silent = (await grpcServer(context, server, MailboxService, { createMailbox: unanswered })).client();

  const created = await writer.mailboxes.createMailbox({
    parent: ORGANIZATION,
    mailbox: { displayName: "Sales", username: "sales", password: CANARY },
  });
  print(created);
  const revealed = await connector.secretAccess.revealAttributes({ name: created.name, attributes: ["password"], purpose: "a test" });
  assert.equal(revealed.values.password.value.value, CANARY);
  print(revealed);
  const key = `${CANARY}-1!`;
  print(await admin.changeKey(ORGANIZATION, key));
  const retrieved = await admin.dataEncryption.retrieveDataEncryptionKey({ organization: ORGANIZATION });
  assert.equal(retrieved.encryptionKey, key);
  print(retrieved);

  // Errors of requests that contain the secret.
  const request = { parent: ORGANIZATION, mailbox: { password: CANARY } };
  const failures = [
    () => writer.mailboxes.createMailbox(request),
    () => server.client("reader").mailboxes.createMailbox(request),
    () => writer.mailboxes.createMailbox({ parent: ORGANIZATION, mailbox: { displayName: "x", password: { text: CANARY } } }),
    () => writer.mailboxes.createMailbox({ parent: ORGANIZATION, mailbox: { displayName: "x", password: `${CANARY}\ud800` } }),
    () => writer.mailboxes.createMailbox({ parent: ORGANIZATION, mailbox: { displayName: "x", password: new Secret(CANARY) } }),
    () => writer.mailboxes.createMailbox({ parent: ORGANIZATION, mailbox: { displayName: "x", stateCode: CANARY } }),
    () => silent.mailboxes.createMailbox(request, { timeoutMs: 20 }),
    () => admin.dataEncryption.setDataEncryptionKey({ organization: ORGANIZATION, encryptionKey: CANARY.slice(0, 9) + CANARY, changeEncryptionKey: false }),
    () => connect("https://127.0.0.1:1", { ...server.as("writer"), retry: false }).mailboxes.createMailbox(request),
    () => connect(server.url, { ca: server.file("ca.pem"), bearerToken: CANARY.replace(/-/g, ".") }).access.whoAmI({}),
    () => connect(server.url, { ca: server.file("ca.pem"), bearerToken: `${CANARY} ${CANARY}` }).access.whoAmI({}),
    () => connect(server.url, { identity: { certificate: server.file("writer.pem"), key: `-----BEGIN PRIVATE KEY-----\n${CANARY}\n-----END PRIVATE KEY-----\n` } }),
  ];
  for (const [index, failure] of failures.entries()) {
    await assert.rejects(async () => failure(), (error) => {
      print(error);
      return true;
    }, `failure ${index}`);
  }

  // Clients that hold a token and a key.
  const privateKey = readFileSync(server.file("writer.key"), "utf8").split("\n")[1];
  const client = connect(server.url, { ...server.as("writer"), bearerToken: new Secret(CANARY.replace(/-/g, ".")) });
  for (const value of [client, writer, client.service, client.mailboxes]) print(value);
  for (const text of outputs) {
    assert.equal(found(text), undefined, text);
    assert.ok(!text.includes(CANARY.replace(/-/g, ".")), "a token was printed");
    assert.ok(!text.includes(privateKey), "a private key was printed");
  }
  for (const client of [writer, connector, admin, silent]) client.close();
  console.log(`${outputs.length} outputs of answers, errors and clients searched, 0 found`);
});

/** A deep copy of the plain parts of an init, so that protecting one message doesn't change the others. */
function cloneInit(init) {
  return Object.fromEntries(
    Object.entries(init).map(([name, value]) => [name, value instanceof Uint8Array || typeof value !== "object" ? value : structuredClone(value)]),
  );
}
