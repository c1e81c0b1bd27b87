// Runs the code of docs/clients/typescript.md against a development server. A block continues the first one, unless it imports `connect`.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";

import { MailboxService } from "@sealward/client/mail/v1";

import { startServer } from "./support.mjs";

const text = readFileSync(process.env.SEALWARD_DOC, "utf8");
const blocks = [...text.matchAll(/^```(ts|js)( \w+)?\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?/gms)].map(([, , kind, code, output]) => ({
  kind: kind?.trim(),
  code,
  output,
}));

test("the README of all clients names what the package has", () => {
  const readme = readFileSync(process.env.SEALWARD_VOCABULARY, "utf8");
  const [, vocabulary] = /^## Vocabulary$(.*?)^## /ms.exec(readme);
  const rows = vocabulary.split("\n").map((line) => line.split("|")).filter(({ length }) => length === 8);
  const names = rows.flatMap((cells) => [...cells[5].matchAll(/`([^`]+)`/g)].map(([, name]) => name));
  assert.ok(names.length > 40, `only ${names.length} names`);
  const folder = new URL("../node_modules/@sealward/client/dist/esm/", import.meta.url);
  const files = readdirSync(folder).filter((name) => name.endsWith(".d.ts"));
  const declarations = files.map((name) => readFileSync(new URL(name, folder), "utf8").replace(/\/\*.*?\*\//gs, "")).join("\n");
  const declared = (name) =>
    [`(function|class|interface|type|const) ${name}\\b`, `^ +(readonly |get )?${name}[?(:]`, `type Origin =[^;]*"${name}"`].some((pattern) =>
      new RegExp(pattern, "m").test(declarations),
    );
  for (const name of names) assert.ok(declared(name) || name in MailboxService.method, `the package has no ${name}`);
});

test("the code of the document runs as it is, and prints what the document says", async () => {
  const server = await startServer();
  // The document's programs run beside ./sealward-dev, and call its default address.
  const folder = mkdtempSync(join(process.cwd(), "docs-"));
  symlinkSync(server.dev, join(folder, "sealward-dev"));
  const [start] = blocks;
  assert.equal(start.code.trim().split("\n").length, 10, "the first block has ten lines");
  const readme = readFileSync(new URL("../node_modules/@sealward/client/README.md", import.meta.url), "utf8");
  assert.ok(readme.includes(start.code), "the README has the same ten lines");
  let ran = 0;
  for (const { kind, code, output } of blocks) {
    if (kind === "browser") continue;
    const program = (code.includes("import { connect") ? code : `${start.code}\n${code}`).replaceAll("https://127.0.0.1:7443", server.url);
    writeFileSync(join(folder, "program.mjs"), program);
    const environment = { ...process.env, SEALWARD_DEV: "./sealward-dev", SEALWARD_AS: "writer" };
    const result = spawnSync(process.execPath, ["program.mjs"], { cwd: folder, encoding: "utf8", env: environment, timeout: 60_000 });
    assert.equal(result.status, 0, `${code}\n${result.stderr}`);
    if (output !== undefined) {
      const lines = result.stdout.trimEnd().split("\n");
      const expected = output.trimEnd().split("\n");
      assert.deepEqual(lines.slice(-expected.length), expected, code);
    }
    if (ran === 0) console.log(`${code}\n${result.stdout}`);
    ran += 1;
  }
  console.log(`${ran} of ${blocks.length} blocks ran; the others are for browsers`);
  await server.stop();
});
