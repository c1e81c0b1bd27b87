// Load balancing: two servers on copies of one folder, and connections that reach their maximum age, under load.

import assert from "node:assert/strict";
import { cpSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { connect } from "@sealward/client";

import { ORGANIZATION, serverFolder, startServer } from "./support.mjs";

/** The number of connections of each server that must reach their maximum age, of one second each. */
const CONNECTIONS = 4;

/** Two servers on copies of one folder with some mailboxes. Each server's mailbox `here` has its own user name. */
async function twoServers(settings, address = "127.0.0.1") {
  const first = await startServer({ folder: await serverFolder({ settings }) });
  const writer = first.client("writer");
  const { name } = await writer.mailboxes.createMailbox({ parent: ORGANIZATION, mailbox: { displayName: "here", username: "first" } });
  writer.close();
  await first.stop({ keep: true });
  const copy = mkdtempSync(join(tmpdir(), "sealward-typescript-"));
  cpSync(first.folder, copy, { recursive: true });
  const one = await startServer({ folder: first.folder });
  const port = new URL(one.url).port;
  const other = await startServer({ folder: copy, listen: address === "127.0.0.1" ? undefined : `${address}:${port}` });
  const target = `dns:///localhost:${new URL(other.url).port}`;
  const second = connect(target, { ...other.as("writer"), resolve: async () => [address] });
  await second.mailboxes.updateMailbox({ mailbox: { name, username: "second" }, updateMask: { paths: ["username"] } });
  second.close();
  return { servers: [one, other], port, name };
}

/** Reads with some concurrency until `isEnough`. Returns the number of reads by the user name that they returned. A failed read fails. */
async function readUntil(client, name, isEnough) {
  const seen = {};
  let reads = 0;
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      while (!isEnough(reads)) {
        const { username } = await client.mailboxes.getMailbox({ name });
        seen[username] = (seen[username] ?? 0) + 1;
        reads += 1;
      }
    }),
  );
  return seen;
}

test("reads go round two URLs, and to the other server when one stops", async () => {
  const { servers, name } = await twoServers({});
  const client = connect(servers.map(({ url }) => url), servers[0].as("reader"));
  const balanced = await readUntil(client, name, (reads) => reads >= 200);
  assert.ok(Math.abs(balanced.first - balanced.second) <= 8, JSON.stringify(balanced));

  // One server stops in the middle of the load, and ends its calls first.
  let stopped;
  let readsAfter = 0;
  const seen = await readUntil(client, name, (reads) => {
    if (reads >= 100) stopped ??= servers[1].stop().then(() => (readsAfter = 1));
    return readsAfter > 0 && readsAfter++ > 200;
  });
  await stopped;
  assert.ok(seen.first > seen.second && seen.second > 0, JSON.stringify(seen));
  console.log(`reads by server: ${JSON.stringify(balanced)}; while one stops: ${JSON.stringify(seen)}; failed: 0`);
  client.close();
  await servers[0].stop();
});

test("reads go round the addresses of a name", async () => {
  // Two loopback addresses with the same port, as the addresses of a service have.
  const { servers, port, name } = await twoServers({}, "127.0.0.2");
  const resolved = [];
  const client = connect(`dns:///localhost:${port}`, {
    ...servers[0].as("reader"),
    resolve: async (host) => {
      resolved.push(host);
      return ["127.0.0.1", "127.0.0.2"];
    },
  });
  const seen = await readUntil(client, name, (reads) => reads >= 100);
  assert.ok(Math.abs(seen.first - seen.second) <= 8, JSON.stringify(seen));
  assert.deepEqual(resolved, ["localhost"]);
  // The system's resolver.
  const system = connect(`dns:///localhost:${port}`, servers[0].as("reader"));
  assert.equal((await system.mailboxes.getMailbox({ name })).username, "first");
  console.log(`reads by address: ${JSON.stringify(seen)}`);
  for (const one of [client, system]) one.close();
  for (const server of servers) await server.stop();
});

test("connections reach their maximum age under load, and no call fails", async () => {
  const settings = { "limits.connection_age_max_seconds": 1, "limits.connection_grace_seconds": 5, "limits.reveals_per_minute_per_identity": 0, "log.level": "debug" };
  const { servers, name } = await twoServers(settings);
  const reader = connect(servers.map(({ url }) => url), servers[0].as("reader"));
  const connector = servers[0].client("connector");
  const aged = () => servers.every((server) => ended(server) >= CONNECTIONS);
  const end = performance.now() + 60_000;
  let reveals = 0;
  const [seen] = await Promise.all([
    readUntil(reader, name, () => aged() || performance.now() > end),
    // Calls that are never repeated don't fail either.
    (async () => {
      while (!aged() && performance.now() < end) {
        await connector.secretAccess.revealAttributes({ name, attributes: ["password"], purpose: "a test" });
        reveals += 1;
      }
    })(),
  ]);
  assert.ok(aged(), "the connections of the client didn't end");
  console.log(`reads: ${JSON.stringify(seen)}; reveals: ${reveals}; connections ended: ${servers.map(ended)}; failed calls: 0`);
  for (const client of [reader, connector]) client.close();
  for (const server of servers) await server.stop();
});

/** The number of connections that a server has ended because of their age, as in its log. */
function ended(server) {
  return server.log().split("\n").filter((line) => line.includes("connection asked to close")).length;
}
