// The client in a page of Chromium, which calls a server of another origin with a bearer token.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { inspect } from "node:util";

import { build } from "esbuild";
import { chromium } from "playwright-core";

import { Reencryption_State } from "@sealward/client/v1";

import { serverFolder, startServer, tokenIssuer } from "./support.mjs";

const CANARY = "Canary-7Kq2wZ9x-Canary";
const roles = ["record-writer", "secret-reader", "prvChangeSqlEncryptionKey", "prvReadEncryptionState"];
const issuer = tokenIssuer(roles);

let home;
let server;
let pages;
let browser;

before(async () => {
  home = mkdtempSync(join(tmpdir(), "sealward-typescript-"));
  const bundle = await build({
    entryPoints: [new URL("browser-page.mjs", import.meta.url).pathname],
    bundle: true,
    format: "iife",
    platform: "browser",
    write: false,
  });
  const script = bundle.outputFiles[0].text;

  // The page's server has the certificate of the development server, at another port: another origin.
  const folder = await serverFolder();
  const file = (name) => join(folder, "dev", "tls", name);
  pages = createServer({ cert: readFileSync(file("server.pem")), key: readFileSync(file("server.key")) }, (request, response) => {
    const isScript = request.url === "/page.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? script : "<!doctype html><title>test</title><script src=/page.js></script>");
  });
  pages.listen(0, "127.0.0.1");
  await once(pages, "listening");

  const origin = `https://127.0.0.1:${pages.address().port}`;
  const settings = { "listen.origins": [origin], "limits.key_changes_per_hour": 0 };
  const served = await serverFolder({ settings, append: issuer.append });
  issuer.writeKeys(served);
  server = await startServer({ folder: served });

  // Chromium verifies the server's certificate with the CA in the test's own home.
  const store = join(home, ".pki", "nssdb");
  mkdirSync(store, { recursive: true });
  execFileSync("certutil", ["-d", `sql:${store}`, "-N", "--empty-password"]);
  execFileSync("certutil", ["-d", `sql:${store}`, "-A", "-t", "C,,", "-n", "ca", "-i", server.file("ca.pem")]);
  browser = await chromium.launch({
    executablePath: process.env.SEALWARD_CHROMIUM ?? "/usr/bin/chromium",
    env: { ...process.env, HOME: home },
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});

after(async () => {
  await browser?.close();
  pages?.close();
  pages?.closeAllConnections();
  if (home) rmSync(home, { recursive: true, force: true });
});

for (const protocol of ["connect", "grpc-web"]) {
  test(`a page calls the server over ${protocol}, and prints no secret`, async () => {
    const page = await browser.newPage();
    const printed = [];
    const pending = [];
    page.on("console", (message) => {
      printed.push(message.text());
      for (const argument of message.args()) {
        pending.push(argument.jsonValue().then((value) => printed.push(inspect(value, { depth: Infinity })), () => undefined));
      }
    });
    await page.goto(`https://127.0.0.1:${pages.address().port}/`);
    const result = await page.evaluate((argument) => globalThis.run(argument), {
      target: server.url,
      protocol,
      token: issuer.token(600),
      password: CANARY,
    });
    assert.deepEqual(result, {
      found: [[true, undefined, true]],
      isRevealed: true,
      failure: [true, "INVALID_ARGUMENT", "FIELD_INVALID", ["mailbox.display_name"], 36],
      lastState: Reencryption_State.DONE,
      streamed: ["client", "UNIMPLEMENTED"],
      unreachable: ["broken", "UNAVAILABLE"],
      serverVersion: result.serverVersion,
    });
    assert.match(result.serverVersion, /^\d+\.\d+\.\d+/);
    await Promise.all(pending);
    assert.ok(printed.length > 6 && printed.some((text) => text.includes("FIELD_INVALID")), "the console was read");
    for (const text of printed) assert.ok(!text.includes(CANARY), text);
    console.log(`${protocol}: ${printed.length} outputs of the console searched, 0 found; server ${result.serverVersion}`);
    await page.close();
  });
}

test("a page of another origin is refused", async () => {
  const page = await browser.newPage();
  await page.route("https://other.example.org/", (route) => route.fulfill({ contentType: "text/html", body: "<title>other</title>" }));
  await page.goto("https://other.example.org/");
  const outcome = await page.evaluate(
    (target) => fetch(`${target}/sealward.v1.AccessService/WhoAmI`, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" }).then(() => "answered", (error) => error.name),
    server.url,
  );
  assert.equal(outcome, "TypeError");
  await page.close();
});
