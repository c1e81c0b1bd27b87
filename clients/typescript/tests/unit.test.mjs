// Decisions of the layer, without a server.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after } from "node:test";
import { inspect } from "node:util";

import { ConnectError } from "@connectrpc/connect";

import { Code, connect, ErrorReason, generateKeyText, RETRY_POLICY, SealwardError, Secret, SetupError, VERSION } from "@sealward/client";
import { MailboxService } from "@sealward/client/mail/v1";
import { AccessService, DataEncryptionService } from "@sealward/client/v1";
import { connect as connectWeb } from "@sealward/client/web";

import { internal, SERVICES } from "./support.mjs";

const { pauseMs, changesNothing } = await internal("retry");
const { parseToken } = await internal("token");
const { Balancer } = await internal("balancer");
const { callTransport } = await internal("calls");
const { Closing } = await internal("closing");
const { watchReencryption } = await internal("key-change");
const { readEnvironment } = await internal("environment");
const { mayHaveTakenEffect } = await internal("errors");
const { TIMEOUT_MAX_MS } = await internal("bounds");
const { SERVICE_CONFIG } = await internal("gen/service_config");

const folder = mkdtempSync(join(tmpdir(), "sealward-typescript-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const path = (name) => join(folder, name);
const CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";

const error = (code, reasonName, retryDelayMs = undefined, origin = "server", cause = undefined) =>
  new SealwardError({ method: "x", origin, code, reason: ErrorReason[reasonName] ?? 0, reasonName, retryDelayMs, cause });
const pause = (failure, repeatable, attempts = 1, jitter = 1) => pauseMs(RETRY_POLICY, attempts, failure, repeatable, jitter);

test("the version is that of the package", () => {
  const manifest = JSON.parse(readFileSync(new URL("../node_modules/@sealward/client/package.json", import.meta.url)));
  assert.equal(VERSION, manifest.version);
});

test("the service config names the methods without side effects, by their options", () => {
  const idempotent = (method) => [1, 2].includes(method.idempotency);
  const expected = SERVICES.flatMap(({ typeName, methods }) =>
    methods.filter((method) => method.methodKind === "unary" && idempotent(method)).map(({ name }) => `${typeName}/${name}`),
  );
  const named = SERVICE_CONFIG.methodConfig.flatMap(({ name }) => name.map(({ service, method }) => `${service}/${method}`));
  for (const method of expected) assert.ok(named.includes(method), `${method} isn't in the service config`);
  assert.ok(!changesNothing("sealward.v1.SecretAccessService/RevealAttributes"));
  assert.deepEqual(RETRY_POLICY, { attemptsMax: 4, pauseFirstMs: 100, pauseMaxMs: 5000 });
});

test("reads are repeated after transient failures only", () => {
  for (const reason of ["STORE_UNAVAILABLE", "AUDIT_UNAVAILABLE", "SHUTTING_DOWN", ""]) {
    assert.equal(pause(error(Code.Unavailable, reason), "read"), 100, reason);
    assert.equal(pause(error(Code.Unavailable, reason), "request_id"), 100, reason);
    assert.equal(pause(error(Code.Unavailable, reason), "no"), undefined, reason);
  }
  for (const [code, reason] of [
    [Code.Unavailable, "OUTCOME_UNKNOWN"],
    [Code.NotFound, "NOT_FOUND"],
    [Code.DeadlineExceeded, "DEADLINE_EXCEEDED"],
    [Code.Internal, "INTERNAL"],
    [Code.Aborted, "SET_KEY_ALREADY_RUNNING"],
    [Code.ResourceExhausted, "RATE_LIMITED"],
  ]) {
    assert.equal(pause(error(code, reason), "read"), undefined, reason);
  }
  assert.equal(pause(error(Code.Unavailable, "OUTCOME_UNKNOWN"), "request_id"), 100);
  assert.equal(pause(error(Code.Aborted, "SET_KEY_ALREADY_RUNNING", 10), "request_id"), undefined);
  assert.equal(pause(error(Code.Unavailable, "", undefined, "tls_refused"), "read"), undefined);
});

test("a stream that the server refused wasn't processed, so that every call is repeated", () => {
  const refused = error(Code.Unavailable, "", undefined, "broken", new Error("closed with NGHTTP2_REFUSED_STREAM"));
  assert.equal(pause(refused, "no"), 100);
  assert.equal(pause(error(Code.Unavailable, "", undefined, "broken", new Error("ECONNRESET")), "no"), undefined);
});

test("a requested delay is followed up to the maximum pause", () => {
  assert.equal(pause(error(Code.ResourceExhausted, "RATE_LIMITED", 5000), "read"), 5000);
  assert.equal(pause(error(Code.ResourceExhausted, "RATE_LIMITED", 5001), "read"), undefined);
  assert.equal(pause(error(Code.Unavailable, "SHUTTING_DOWN", 3000), "read"), 3000);
});

test("pauses double up to the maximum, and attempts are limited", () => {
  const policy = { ...RETRY_POLICY, attemptsMax: 100 };
  const failure = error(Code.Unavailable);
  assert.deepEqual([1, 2, 3, 6, 7, 99].map((attempts) => pauseMs(policy, attempts, failure, "read", 1)), [100, 200, 400, 3200, 5000, 5000]);
  assert.equal(pauseMs(policy, 1, failure, "read", 0), 50);
  assert.equal(pause(failure, "read", 4), undefined);
});

test("plaintext needs an explicit choice", () => {
  const setup = (target, options) => () => connect(target, options);
  assert.throws(setup("http://127.0.0.1:7080"), /isn't https: use https, or set the option plaintext/);
  assert.doesNotThrow(setup("http://127.0.0.1:7080", { plaintext: true }));
  assert.throws(setup("https://127.0.0.1:7443", { plaintext: true }), /is https: remove the option plaintext/);
  assert.throws(setup("http://127.0.0.1:7080", { plaintext: true, bearerToken: "canary" }), /isn't sent over plaintext/);
  assert.throws(setup(["https://127.0.0.1:7443", "http://127.0.0.1:7443"]), /isn't https/);
});

test("an unusable target is refused", () => {
  for (const target of ["", "127.0.0.1:7443", "localhost", "ftp://127.0.0.1", "https://", "dns:", "dns:///a/b", []]) {
    assert.throws(() => connect(target), SetupError, String(target));
  }
  for (const target of ["dns:///localhost:7443", "dns:localhost:7443", "https://[::1]:7443"]) {
    assert.doesNotThrow(() => connect(target), target);
  }
});

test("a password in a target isn't in the error", () => {
  for (const rest of ["127.0.0.1", "127.0.0.1:99999", "[::1", "a b", "@/127.0.0.1:99999"]) {
    const targets = [`https://user:canary@${rest}`, `http://user:canary@${rest}`, `dns:///user:canary@${rest}`, `dns://user:canary@${rest}/x`, `user:canary@${rest}`, `ftp://user:canary@${rest}`];
    for (const target of targets) {
      const isMasked = (failure) => failure instanceof SetupError && !failure.message.includes("canary");
      assert.throws(() => connect(target), isMasked, target);
      if (!target.startsWith("https:") || !URL.canParse(target)) assert.throws(() => connectWeb(target), isMasked, target);
    }
  }
  assert.throws(() => connect("https://user:canary@a:99999"), /^SetupError: can't use the target https:\/\/\.\.\.@a:99999: use https:\/\/host:port$/);
});

test("options are validated when the client is created", () => {
  const setup = (options) => () => connect("https://a", options);
  for (const value of [0, -1, Number.NaN]) {
    for (const name of ["messageSizeMaxBytes", "connectTimeoutMs", "timeoutMs"]) {
      assert.throws(setup({ [name]: value }), new RegExp(`^SetupError: ${name} is ${value}: use a number of at least 1$`));
    }
  }
  assert.doesNotThrow(setup({ messageSizeMaxBytes: 2 ** 32 - 1, connectTimeoutMs: Infinity, timeoutMs: Infinity }));
  assert.throws(setup({ messageSizeMaxBytes: 2 ** 32 }), /^SetupError: messageSizeMaxBytes is 4294967296: use at most 4294967295$/);
  for (const connectTo of [connect, connectWeb]) {
    for (const token of ["", "Bearer canary", new Secret("canary canary")]) {
      const isNamed = (failure) => failure instanceof SetupError && /^the bearer token /.test(failure.message) && !failure.message.includes("canary");
      assert.throws(() => connectTo("https://a", { bearerToken: token }), isNamed);
    }
    assert.doesNotThrow(() => connectTo("https://a", { bearerToken: new Secret("a.b.c") }));
  }
});

test("unusable PEM is refused, and its content isn't in the error", () => {
  assert.throws(() => connect("https://a", { ca: "/nowhere/ca.pem" }), /^SetupError: can't read the CA \/nowhere\/ca\.pem$/);
  assert.throws(() => connect("https://a", { ca: new Uint8Array() }), /can't use the CA: it has no certificate in PEM/);
  assert.throws(() => connect("https://a", { ca: CERTIFICATE }), /its first certificate is malformed/);
  writeFileSync(path("ca.pem"), "canary");
  assert.throws(() => connect("https://a", { ca: path("ca.pem") }), /ca\.pem: it has no certificate/);
});

test("fault of a token is named without the token", () => {
  assert.equal(parseToken(" a.b-c_d~e+f/g=\r\n"), "a.b-c_d~e+f/g=");
  for (const [token, problem] of [
    ["", "is empty"],
    [" \n", "is empty"],
    ["Bearer canary", 'begins with "Bearer "'],
    ["bearer canary", 'begins with "Bearer "'],
    ['{"access_token": "canary"}', "is JSON"],
    ["canary canary", "more than one word"],
    ["canäry", "invalid character"],
    ["can\u001bary", "invalid character"],
  ]) {
    assert.throws(() => parseToken(token), (failure) => failure.message.includes(problem) && !/can.?ry/.test(failure.message), token);
  }
});

test("a key file that others can read gives one warning", () => {
  const run = (mode) => {
    const key = path(`key-${mode.toString(8)}`);
    writeFileSync(key, "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n");
    chmodSync(key, mode);
    const code = `
      const { readKey } = await import(${JSON.stringify(new URL("../node_modules/@sealward/client/dist/esm/pem.js", import.meta.url).href)});
      process.on("warning", (warning) => console.log(warning.name, warning.code, warning.message));
      for (let time = 0; time < 2; time++) readKey("client key", ${JSON.stringify(key)});`;
    return execFileSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  };
  assert.equal(run(0o600), "");
  assert.equal(run(0o640), `SealwardWarning SEALWARD_KEY_READABLE the private key ${path("key-640")} can be read by other users: run \`chmod 600\` on it\n`);
});

test("the environment is read only on request", () => {
  const { target, options } = readEnvironment({ SEALWARD_DEV: "/dev-folder", SEALWARD_AS: "writer", SEALWARD_CA: "" });
  assert.equal(target, "https://127.0.0.1:7443");
  assert.deepEqual(options, {
    ca: "/dev-folder/tls/ca.pem",
    identity: { certificate: "/dev-folder/tls/writer.pem", key: "/dev-folder/tls/writer.key" },
    bearerTokenFile: undefined,
  });
  const other = readEnvironment({ SEALWARD_ENDPOINT: "https://a:1", SEALWARD_CERT: "c", SEALWARD_KEY: "k" });
  assert.deepEqual([other.target, other.options.identity], ["https://a:1", { certificate: "c", key: "k" }]);
  assert.throws(() => readEnvironment({ SEALWARD_CERT: "c" }), /set both SEALWARD_CERT and SEALWARD_KEY/);
  // The files of a development server take precedence, as in the command line.
  const both = readEnvironment({ SEALWARD_DEV: "/d", SEALWARD_AS: "reader", SEALWARD_CA: "a", SEALWARD_CERT: "c", SEALWARD_KEY: "k" });
  assert.deepEqual([both.options.ca, both.options.identity], ["/d/tls/ca.pem", { certificate: "/d/tls/reader.pem", key: "/d/tls/reader.key" }]);
  for (const half of [{ SEALWARD_DEV: "/d" }, { SEALWARD_AS: "reader" }, { SEALWARD_DEV: "/d", SEALWARD_AS: "" }]) {
    const all = { SEALWARD_CA: "a", SEALWARD_CERT: "c", SEALWARD_KEY: "k", ...half };
    for (const variables of [half, all]) assert.throws(() => readEnvironment(variables), /^SetupError: set both SEALWARD_DEV and SEALWARD_AS/);
  }
});

test("generated keys follow the rule and differ", () => {
  const keys = Array.from({ length: 100 }, () => generateKeyText().exposeText());
  for (const key of keys) assert.match(key, /^([0-9A-HJKMNP-TV-Z]{5}-){6}[0-9A-HJKMNP-TV-Z]{5}$/);
  assert.equal(new Set(keys).size, 100);
});

test("calls go round the addresses, and pass over those that can't be connected to", async () => {
  let now = 0;
  const down = new Set();
  const called = [];
  let addresses = ["a", "b", "c"];
  const balancer = new Balancer(
    {
      resolve: async () => addresses,
      open: (address) => ({
        transport: { unary: async () => void called.push(address) },
        connect: async () => {
          if (down.has(address)) throw new Error("refused");
        },
        close: () => undefined,
      }),
    },
    () => now,
  );
  const call = async (times) => {
    called.length = 0;
    for (let time = 0; time < times; time++) await balancer.unary({}, undefined, 1000, undefined, {});
    return called.join("");
  };
  assert.equal(await call(6), "abcabc");
  down.add("b");
  assert.equal(await call(6), "acacac");
  // The pause of b ends, it fails again, and pauses for longer.
  now += 1_001;
  assert.equal(await call(3), "aca");
  down.clear();
  now += 1_001;
  assert.ok(!(await call(4)).includes("b"));
  now += 1_000;
  assert.ok((await call(3)).includes("b"));
  for (const address of addresses) down.add(address);
  await assert.rejects(call(1), { name: "ConnectFailure" });
  down.clear();
  // After a failure of all addresses, a call doesn't wait for the end of a pause.
  assert.equal((await call(1)).length, 1);
  addresses = ["d"];
  now += 30_000;
  await call(1);
  assert.equal(await call(2), "dd");
});

/** A balancer over addresses that the test changes. `log` has what happens to them. */
function balanced({ connect = async () => undefined } = {}) {
  const state = { now: 0, addresses: ["a"], log: [], streams: [] };
  const open = (address) => ({
    transport: {
      unary: async (_method, _signal, timeoutMs) => void state.log.push(`unary ${address} ${timeoutMs}`),
      stream: async (_method, _signal, timeoutMs) => {
        state.log.push(`stream ${address} ${timeoutMs}`);
        return { message: (async function* () { yield* [1, 2]; })() };
      },
    },
    connect: () => connect(address, state),
    close: () => void state.log.push(`close ${address}`),
  });
  const balancer = new Balancer({ resolve: async () => state.addresses, open }, () => state.now);
  return Object.assign(state, {
    balancer,
    unary: (timeoutMs = 1000, signal = undefined) => balancer.unary({}, signal, timeoutMs, undefined, {}),
    stream: (timeoutMs = 0, signal = undefined) => balancer.stream({}, signal, timeoutMs, undefined, []),
    /** Resolves the addresses again, which the next call begins. `log` then has what was closed. */
    async resolveAgain(addresses) {
      state.log.length = 0;
      state.addresses = addresses;
      state.now += 30_000;
      await state.unary();
      await new Promise(setImmediate);
      state.log = state.log.filter((line) => line.startsWith("close"));
    },
  });
}

test("the connection of an address that left the name closes when it has no calls", async () => {
  const test = balanced();
  await test.unary();
  // Without calls, at once.
  await test.resolveAgain(["b"]);
  assert.deepEqual(test.log, ["close a"]);

  // With a stream, after its end.
  const read = (await test.stream()).message;
  await read.next();
  await test.resolveAgain(["c"]);
  assert.deepEqual(test.log, []);
  await read.next();
  assert.deepEqual(test.log, []);
  await read.next();
  assert.deepEqual(test.log, ["close b"]);

  // With a stream that its reader leaves. An address that came back in the meantime stays.
  const [left, kept] = [(await test.stream()).message, (await test.stream()).message];
  for (const stream of [left, kept]) await stream.next();
  await test.resolveAgain(["d"]);
  await left.return();
  assert.deepEqual(test.log, []);
  await test.resolveAgain(["c"]);
  await kept.return();
  await test.unary();
  assert.deepEqual(test.log, ["close d", "unary c 1000"]);
});

test("a closed client closes all connections, and opens no other one", async () => {
  const test = balanced();
  const read = (await test.stream()).message;
  await read.next();
  await test.resolveAgain(["b"]);
  test.balancer.close();
  assert.deepEqual(test.log.sort(), ["close a", "close b"]);
  for (const call of [test.unary, test.stream]) await assert.rejects(call(), { code: Code.Canceled });
  assert.ok(!test.log.some((line) => line.startsWith("unary")));

  // Closed while a call connects: the connection is closed, and the call isn't sent.
  const connecting = balanced({ connect: async (_address, { balancer }) => balancer.close() });
  await assert.rejects(connecting.unary(), { code: Code.Canceled });
  assert.deepEqual(connecting.log, ["close a", "close a"]);
});

test("a call whose time is up when it is connected isn't sent", async () => {
  const slow = (duration) => balanced({ connect: async (_address, state) => void (state.now += duration) });
  for (const duration of [1000, 1001]) {
    const test = slow(duration);
    for (const call of [test.unary, test.stream]) await assert.rejects(call(1000), { code: Code.DeadlineExceeded });
    assert.deepEqual(test.log, []);
  }
  const inTime = slow(999.5);
  await inTime.unary(1000);
  await inTime.stream(1000);
  await inTime.stream(0);
  assert.deepEqual(inTime.log, ["unary a 1", "stream a 1", "stream a 0"]);
  const controller = new AbortController();
  const canceled = balanced({ connect: async () => controller.abort() });
  await assert.rejects(canceled.unary(1000, controller.signal), { code: Code.Canceled });
  assert.deepEqual(canceled.log, []);
});

/** Lets the clock go on by some milliseconds. */
function spend(durationMs) {
  for (const end = performance.now() + durationMs; performance.now() < end; );
}

/** Calls through a transport whose attempts are those of the test. */
function calls(attempts, { token, timeoutMs = 30_000, closing = new Closing(), ...retry } = {}) {
  return callTransport(attempts, { timeoutMs, retry: { ...RETRY_POLICY, ...retry }, token, closing, onServerVersion: () => undefined });
}

test("long timeouts are shortened, and don't end a call at once", async () => {
  const sent = [];
  const attempts = {
    unary: async (_method, _signal, timeoutMs) => {
      sent.push(timeoutMs);
      // Later than a timer of 1 ms, which is what Node makes of a time that is too long.
      await new Promise((resolve) => setTimeout(resolve, 20));
      return { header: new Headers(), message: {} };
    },
    stream: async (_method, _signal, timeoutMs) => {
      sent.push(timeoutMs);
      return { method: DataEncryptionService.method.watchReencryption, header: new Headers(), message: (async function* () {})() };
    },
  };
  for (const timeoutMs of [99_999_999, 100_000_000, 2_147_483_547, 2_147_483_648, Infinity]) {
    await calls(attempts).unary(AccessService.method.whoAmI, undefined, timeoutMs, undefined, {});
    await calls(attempts, { timeoutMs }).unary(AccessService.method.whoAmI, undefined, undefined, undefined, {});
    await calls(attempts).stream(DataEncryptionService.method.watchReencryption, undefined, timeoutMs, undefined, (async function* () {})());
  }
  assert.equal(TIMEOUT_MAX_MS, 99_999_999);
  for (const timeoutMs of sent) assert.ok(timeoutMs > TIMEOUT_MAX_MS - 10_000 && timeoutMs <= TIMEOUT_MAX_MS, String(timeoutMs));
  assert.equal(sent.length, 15);
});

test("a stream's timeout includes its token, and a refreshed one", async () => {
  const sent = [];
  const attempts = {
    stream: async (_method, _signal, timeoutMs) => {
      sent.push(timeoutMs);
      throw new ConnectError("refused", Code.Unauthenticated);
    },
  };
  const stream = (token, timeoutMs, signal) =>
    calls(attempts, { token }).stream(DataEncryptionService.method.watchReencryption, signal, timeoutMs, undefined, (async function* () {})());
  const slow = () => {
    spend(10);
    return "a.b.c";
  };
  await assert.rejects(stream(slow, 1000), { code: Code.Unauthenticated, origin: "server" });
  assert.ok(sent.length === 2 && sent[0] <= 990 && sent[1] <= sent[0] - 10, String(sent));
  sent.length = 0;
  await assert.rejects(stream(slow), { code: Code.Unauthenticated });
  assert.deepEqual(sent, [0, 0]);

  // A token source that hangs.
  const hangs = () => new Promise(() => {});
  sent.length = 0;
  await assert.rejects(stream(hangs, 20), { code: Code.DeadlineExceeded, origin: "timed_out" });
  const controller = new AbortController();
  const canceled = assert.rejects(stream(hangs, undefined, controller.signal), { code: Code.Canceled, origin: "canceled" });
  controller.abort();
  await canceled;
  assert.deepEqual(sent, []);
});

test("the timeout of a watched re-encryption includes all openings", async () => {
  const sent = [];
  const client = {
    async *watchReencryption(_request, options) {
      sent.push(options?.timeoutMs);
      if (sent.length === 3) return;
      yield {};
      spend(10);
      throw error(Code.Unavailable);
    },
  };
  const watch = async (options) => {
    sent.length = 0;
    for await (const _ of watchReencryption(client, "organizations/a", options, { pauseMs: 40 }));
  };
  await watch({ timeoutMs: 10_000 });
  assert.ok(sent[0] <= 10_000 && sent[1] <= sent[0] - 10 && sent[2] <= sent[1] - 10, String(sent));
  await watch();
  assert.deepEqual(sent, [undefined, undefined, undefined]);
  // Without time for the pause, the last error is thrown.
  await assert.rejects(watch({ timeoutMs: 30 }), { code: Code.Unavailable });
  assert.equal(sent.length, 1);
});

test("a watched re-encryption continues after interruptions only, up to a number of failures", async () => {
  const reset = () => error(Code.Canceled, undefined);
  const unavailable = () => error(Code.Unavailable, "SHUTTING_DOWN");
  const refused = () => error(Code.Unavailable, undefined, undefined, "tls_refused");
  const byServer = () => error(Code.Canceled, "CANCELLED");
  const here = () => error(Code.Canceled, undefined, undefined, "canceled");
  /** The number of streams until the first one that ends, or whose failure is thrown. */
  const openings = async (failures, messages = 0) => {
    let count = 0;
    const client = {
      async *watchReencryption() {
        count += 1;
        if (count <= messages) yield {};
        const failure = failures(count);
        if (failure !== undefined) throw failure;
      },
    };
    const ended = async () => {
      for await (const _ of watchReencryption(client, "organizations/a", undefined, { pauseMs: 0 }));
      return "ended";
    };
    return [await ended().catch(({ codeName }) => codeName), count];
  };
  for (const failure of [reset, unavailable]) {
    assert.deepEqual(await openings((count) => (count <= 5 ? failure() : undefined)), ["ended", 6]);
    assert.deepEqual(await openings(failure), [failure().codeName, 6]);
    assert.deepEqual(await openings(failure, 2), [failure().codeName, 62]);
  }
  for (const failure of [refused, byServer, here, () => error(Code.PermissionDenied, "PRIVILEGE_MISSING")]) {
    assert.deepEqual(await openings(failure), [failure().codeName, 1]);
  }
});

test("a failure says whether the call may have taken effect", async () => {
  for (const [failure, expected] of [
    [error(Code.Unavailable, "", undefined, "broken"), true],
    [error(Code.DeadlineExceeded, "", undefined, "timed_out"), true],
    [error(Code.Canceled, "", undefined, "canceled"), true],
    [error(Code.Internal, "", undefined, "unreadable"), true],
    [error(Code.Unavailable, "", undefined, "not_connected"), false],
    [error(Code.Unavailable, "", undefined, "tls_refused"), false],
    [error(Code.Unauthenticated, "", undefined, "client"), false],
    [error(Code.Unavailable, "OUTCOME_UNKNOWN"), true],
    [error(Code.Unavailable, "SHUTTING_DOWN"), false],
    [error(Code.Unavailable, undefined), true],
    [error(Code.PermissionDenied, undefined), false],
  ]) {
    assert.equal(mayHaveTakenEffect(failure), expected, `${failure.origin} ${failure.message}`);
  }
  // The failure of a call includes its earlier attempts.
  const outcomes = [];
  const attempts = {
    unary: async () => {
      throw outcomes.shift() ?? error(Code.NotFound, "NOT_FOUND");
    },
  };
  const call = async (method, input, ...failures) => {
    outcomes.push(...failures);
    const failure = await calls(attempts, { pauseFirstMs: 1 }).unary(method, undefined, undefined, undefined, input).catch((caught) => caught);
    outcomes.length = 0;
    return failure.mayHaveTakenEffect;
  };
  const broken = () => error(Code.Unavailable, undefined, undefined, "broken");
  const { setDataEncryptionKey, isDataEncryptionActive } = DataEncryptionService.method;
  const { updateMailbox } = MailboxService.method;
  assert.equal(await call(updateMailbox, {}, broken()), true);
  assert.equal(await call(updateMailbox, {}, error(Code.Unavailable, "SHUTTING_DOWN")), false);
  assert.equal(await call(isDataEncryptionActive, {}, broken()), false);
  assert.equal(await call(setDataEncryptionKey, {}, broken()), true);
  assert.equal(await call(setDataEncryptionKey, {}), false);
});

test("a change of the key is never repeated", async () => {
  for (const reason of ["SHUTTING_DOWN", "OUTCOME_UNKNOWN", ""]) {
    let count = 0;
    const attempts = {
      unary: async () => {
        count += 1;
        throw error(Code.Unavailable, reason);
      },
    };
    const request = { organization: "organizations/a", encryptionKey: "a new key, number 2", changeEncryptionKey: true };
    const method = DataEncryptionService.method.setDataEncryptionKey;
    await assert.rejects(calls(attempts).unary(method, undefined, undefined, undefined, request), { code: Code.Unavailable });
    assert.equal(count, 1);
  }
});

test("a token that is given as the path of its file isn't in the error", async () => {
  const token = "eyJhbGciOiJFUzI1NiJ9.e30.Y2FuYXJ5";
  for (const [file, isShown] of [[token, false], [`canary/${token}`, false], ["canary", false], [path("missing"), true]]) {
    const failure = await connect("https://127.0.0.1:1", { bearerTokenFile: file }).access.whoAmI({}).catch((caught) => caught);
    assert.match(failure.message, /^no token: can't read the token file.*: ENOENT/);
    assert.equal(inspect(failure).includes(file), isShown, failure.message);
  }
});

test("a failed token source is the failure of the call", async () => {
  let asked = 0;
  const outcome = (source) => {
    asked = 0;
    const token = (request) => {
      asked += 1;
      return source(request);
    };
    return calls({}, { token }).unary(AccessService.method.whoAmI, undefined, undefined, undefined, {}).catch((error) => error);
  };
  const cause = new RangeError("no token today");
  for (const source of [() => Promise.reject(cause), () => { throw cause; }]) {
    const failure = await outcome(source);
    assert.ok(failure instanceof SealwardError);
    assert.deepEqual([failure.code, failure.origin, failure.message, failure.cause], [Code.Unauthenticated, "client", "the token source failed", cause]);
    assert.equal(asked, 1);
  }
  const invalid = await outcome(() => "Bearer canary");
  assert.deepEqual([invalid.origin, invalid.message], ["client", 'no token: the bearer token begins with "Bearer ": use only the token']);
});

test("the end of a client ends its calls", async () => {
  const closing = new Closing();
  const hangs = { unary: () => new Promise(() => {}), stream: () => new Promise(() => {}) };
  const transport = calls(hangs, { closing });
  const call = () => transport.unary(AccessService.method.whoAmI, undefined, undefined, undefined, {});
  const watch = () => transport.stream(DataEncryptionService.method.watchReencryption, undefined, undefined, undefined, (async function* () {})());
  const canceled = { code: Code.Canceled, origin: "canceled" };
  const running = [call, watch].map((make) => assert.rejects(make(), canceled));
  closing.close();
  await Promise.all(running);
  for (const make of [call, watch]) await assert.rejects(make(), canceled);
});
