// Runs the scenario of clients/scenario: each file against a server of its own.

import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";

import { fromJson, toJson } from "@bufbuild/protobuf";
import { parse } from "yaml";

import { connect, SealwardError } from "@sealward/client";

import { internal, SERVICES, startServer } from "./support.mjs";

const { ErrorInfoSchema } = await internal("gen/google/rpc/error_details_pb");

const FOLDER = process.env.SEALWARD_SCENARIO;
const files = readdirSync(FOLDER).filter((name) => name.endsWith(".yaml")).sort();

/** The steps that this driver can't run: the client sends only messages, no other bytes. */
const CANT = ["refusals.yaml: a message that ends too early: raw"];

let steps = 0;
const skipped = [];

for (const file of files) {
  const scenario = parse(readFileSync(join(FOLDER, file), "utf8"));
  test(`${file}: ${scenario.name}`, async () => {
    const server = await startServer(scenario.server);
    const run = new Run(file, server);
    try {
      for (const step of scenario.steps) await run.step(step);
    } finally {
      run.close();
      await server.stop();
    }
    console.log(`${file}: ${scenario.steps.length} steps`);
  });
}

test("an unexpected answer is reported", () => {
  const problem = (expected, actual) => subsetProblem("answer", expected, actual);
  const actual = { a: "x", b: [{ c: "5" }], d: {}, e: true };
  for (const expected of [{}, { a: "x", f: null }, { b: [{ c: 5 }] }, { b: [{}], d: {} }, { a: ANY, e: true, f: false }]) {
    assert.equal(problem(expected, actual), undefined, display(expected));
  }
  for (const expected of [{ a: "y" }, { a: null }, { b: [] }, { b: [{ c: 6 }] }, { b: [{}, {}] }, { f: ANY }, { f: "x" }, { e: false }, { d: { g: 1 } }]) {
    assert.notEqual(problem(expected, actual), undefined, display(expected));
  }
});

test("the scenario was run", () => {
  assert.ok(files.length > 0, `${FOLDER} has no scenario`);
  assert.deepEqual(skipped, CANT);
  console.log(`${files.length} files, ${steps} steps, ${skipped.length} not run`);
});

class Run {
  #file;
  #server;
  #variables = {};
  #secrets = new Map();
  #uuids = new Map();
  #clients = new Map();
  #opened = [];

  constructor(file, server) {
    this.#file = file;
    this.#server = server;
  }

  close() {
    for (const client of [...this.#clients.values(), ...this.#opened]) client.close();
  }

  async step(step) {
    const at = `${this.#file}: ${step.name}`;
    if (step.concurrently) return this.#concurrently(step);
    if (step.raw !== undefined) {
      skipped.push(`${at}: raw`);
      return undefined;
    }
    try {
      const result = await this.#call(step);
      const problem = this.#compare(step, this.#resolve(step.expect), result);
      assert.equal(problem, undefined, problem);
      for (const [name, path] of Object.entries(step.save ?? {})) this.#variables[name] = save(path, result);
      steps += 1;
    } catch (error) {
      throw new Error(this.#mask(`${at}: ${error.message}`), { cause: error instanceof assert.AssertionError ? undefined : error });
    }
  }

  /** Starts steps at the same moment. Each expectation must be met by another result. */
  async #concurrently({ name, concurrently }) {
    const results = await Promise.all(concurrently.map((step) => this.#call(step)));
    const left = [...results];
    for (const step of concurrently) {
      const index = left.findIndex((result) => this.#compare(step, this.#resolve(step.expect), result) === undefined);
      assert.notEqual(index, -1, `${this.#file}: ${name}: no result is as expected in ${step.name}`);
      left.splice(index, 1);
      steps += 1;
    }
  }

  #client({ as, connection }) {
    const identity = typeof as === "object" ? "plaintext" : as;
    if (connection !== "new" && this.#clients.has(identity)) return this.#clients.get(identity);
    const options = { retry: false };
    const client =
      identity === "plaintext"
        ? connect(this.#server.plaintextUrl, { ...options, plaintext: true })
        : identity === "nobody"
          ? connect(this.#server.url, { ...options, ca: this.#server.file("ca.pem") })
          : this.#server.client(identity, options);
    if (connection === "new") this.#opened.push(client);
    else this.#clients.set(identity, client);
    return client;
  }

  /** Makes a call. Returns its answer, its stream or its error. */
  async #call(step) {
    const [typeName, methodName] = step.call.split("/");
    const service = SERVICES.find((one) => one.typeName === typeName) ?? assert.fail(`${typeName} isn't a service`);
    const method = service.methods.find(({ name }) => name === methodName) ?? assert.fail(`${methodName} isn't a method`);
    const call = this.#client(step).service(service)[method.localName];
    const message = (json) => fromJson(method.input, json ?? {});
    const json = (answer) => toJson(method.output, answer, { useProtoFieldName: true });
    const options = { headers: this.#resolve(step.metadata ?? {}) };
    const messages = [];
    try {
      switch (method.methodKind) {
        case "client_streaming": {
          const requests = this.#requests(step.requests).map(message);
          return { answer: json(await call(iterate(requests), options)) };
        }
        case "server_streaming": {
          const iterator = call(message(this.#resolve(step.request)), options)[Symbol.asyncIterator]();
          for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
            messages.push(json(next.value));
            // The iterator isn't ended: the stream stays open until the client is closed.
            if (step.keep_open) break;
          }
          return { stream: messages };
        }
        default:
          return { answer: json(await call(message(this.#resolve(step.request)), options)) };
      }
    } catch (error) {
      if (!(error instanceof SealwardError)) throw error;
      return { error, stream: messages };
    }
  }

  #requests(requests) {
    if (Array.isArray(requests)) return this.#resolve(requests);
    return this.#resolve(requests.for_each).map((item) => this.#resolve(requests.request, item));
  }

  /** Returns a problem, or undefined if the result is as expected. */
  #compare(step, expect, result) {
    if (expect.error) return result.error ? errorProblem(expect.error, result.error) : `expected an error, got ${display(result)}`;
    if (result.error) return `expected ${display(expect)}, got ${result.error.message} ${display(result.error.metadata)} ${display(result.error.fieldViolations)}`;
    if (expect.answer) return subsetProblem("answer", expect.answer, result.answer);
    const { min = 0, last } = expect.stream;
    if (result.stream.length < min) return `expected at least ${min} messages, got ${result.stream.length}`;
    return last === undefined ? undefined : subsetProblem("last", last, result.stream.at(-1));
  }

  /** Replaces variables. */
  #resolve(value, item) {
    if (Array.isArray(value)) return value.map((one) => this.#resolve(one, item));
    if (typeof value === "object" && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, this.#resolve(one, item)]));
    }
    if (typeof value !== "string") return value;
    const whole = /^\$([a-z_]\w*(?:\.\w+)?)$/.exec(value);
    if (whole) return this.#variable(whole[1], item);
    return value.replace(/\$\{([\w.]+)\}/g, (_, name) => this.#variable(name, item));
  }

  #variable(name, item) {
    const [kind, argument] = name.split(".");
    if (name === "any") return ANY;
    if (name === "item") return item;
    if (argument === undefined) {
      assert.ok(kind in this.#variables, `$${name} wasn't saved`);
      return this.#variables[kind];
    }
    switch (kind) {
      case "secret":
        return remember(this.#secrets, argument, () => `a1!${randomBytes(18).toString("base64url")}`);
      case "uuid":
        return remember(this.#uuids, argument, randomUUID);
      case "text":
        return "x".repeat(Number(argument));
      default:
        return assert.fail(`$${name} isn't a variable`);
    }
  }

  #mask(text) {
    let masked = text;
    for (const secret of this.#secrets.values()) masked = masked.replaceAll(secret, "[secret]");
    return masked;
  }
}

/** Matches every value that is set. */
const ANY = Symbol("any");

/** The values that also match an absent field. */
const isDefault = (value) =>
  value === null || value === false || value === 0 || value === "" || value === "0" ||
  (typeof value === "object" && Object.keys(value).length === 0);

function subsetProblem(path, expected, actual) {
  const problem = () => `${path}: expected ${display(expected)}, got ${display(actual)}`;
  if (expected === ANY) return actual === undefined || actual === null || actual === "" ? problem() : undefined;
  if (actual === undefined || actual === null) return isDefault(expected) ? undefined : problem();
  if (expected === null) return problem();
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || actual.length !== expected.length) return problem();
    return first(expected.map((item, index) => subsetProblem(`${path}.${index}`, item, actual[index])));
  }
  if (typeof expected === "object") {
    if (typeof actual !== "object") return problem();
    return first(Object.entries(expected).map(([name, item]) => subsetProblem(`${path}.${name}`, item, actual[name])));
  }
  const isEqual = expected === actual || (typeof expected === "number" && String(expected) === actual);
  return isEqual ? undefined : problem();
}

function errorProblem(expected, error) {
  const { code, reason, domain = "sealward", metadata, field_violations: violations, retry } = expected;
  const info = error.cause?.findDetails(ErrorInfoSchema)[0];
  return first([
    subsetProblem("code", code, error.codeName),
    reason === undefined ? undefined : subsetProblem("reason", reason, error.reasonName),
    reason === undefined ? undefined : subsetProblem("domain", domain, info?.domain),
    metadata && subsetProblem("metadata", metadata, error.metadata),
    violations && subsetProblem("field_violations", violations, error.fieldViolations),
    retry && error.retryDelayMs === undefined ? "the error has no RetryInfo" : undefined,
    error.callId ? undefined : `the error has no call id: ${error.message}`,
  ]);
}

const first = (problems) => problems.find((problem) => problem !== undefined);
const display = (value) => JSON.stringify(value, (_, item) => (item === ANY ? "$any" : item));

function save(path, { answer, stream }) {
  const names = path.split(".");
  if (names[0] === "*") return stream.map((message) => read(message, names.slice(1)));
  return names[0] === "last" && stream ? read(stream.at(-1), names.slice(1)) : read(answer, names);
}

const read = (value, names) => names.reduce((at, name) => at?.[name], value) ?? "";

function remember(map, name, make) {
  if (!map.has(name)) map.set(name, make());
  return map.get(name);
}

async function* iterate(items) {
  yield* items;
}
