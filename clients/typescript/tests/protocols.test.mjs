// The protocols of browsers and proxies, from Node: Connect and gRPC-Web over HTTP/2.

import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { inspect } from "node:util";

import { Code, ErrorReason, generateKeyText, listAll, SealwardError } from "@sealward/client";
import { Reencryption_State } from "@sealward/client/v1";

import { ORGANIZATION, startServer } from "./support.mjs";

let server;
before(async () => {
  server = await startServer({ settings: { "limits.key_changes_per_hour": 0 } });
});
after(() => server.stop());

for (const protocol of ["grpc", "connect", "grpc-web"]) {
  test(`calls, streams and errors are the same over ${protocol}`, async () => {
    const [writer, connector, admin] = ["writer", "connector", "admin"].map((role) => server.client(role, { protocol }));
    const password = "canary in the mine";
    const displayName = `over ${protocol}`;
    const { name } = await writer.mailboxes.createMailbox({ parent: ORGANIZATION, mailbox: { displayName, password } });
    const listed = [];
    for await (const mailbox of listAll(writer.mailboxes.listMailboxes, { parent: ORGANIZATION, filter: `display_name = "${displayName}"` })) {
      listed.push(mailbox.name);
    }
    assert.deepEqual(listed, [name]);
    const revealed = await connector.secretAccess.revealAttributes({ name, attributes: ["password"], purpose: "a test" });
    assert.equal(revealed.values.password.value.value, password);
    assert.ok(!inspect(revealed, { depth: Infinity, showHidden: true }).includes(password));

    const failure = await writer.mailboxes.createMailbox({ parent: ORGANIZATION, mailbox: { displayName: "x".repeat(201) } }).catch((error) => error);
    assert.ok(failure instanceof SealwardError);
    assert.deepEqual([failure.code, failure.reason, failure.origin], [Code.InvalidArgument, ErrorReason.FIELD_INVALID, "server"]);
    assert.deepEqual(failure.fieldViolations.map(({ field, reason }) => [field, reason]), [["mailbox.display_name", "TOO_LONG"]]);
    assert.match(failure.callId, /^[0-9a-f-]{36}$/);

    let last;
    for await (const progress of await admin.changeKey(ORGANIZATION, generateKeyText())) last = progress;
    assert.equal(last.state, Reencryption_State.DONE);
    const refused = await writer.watchReencryption(ORGANIZATION).next().catch((error) => error);
    assert.equal(refused.reasonName, "PRIVILEGE_MISSING");

    // A stream of requests: not over gRPC-Web.
    const imported = await admin.organizations
      .importOrganization(
        (async function* () {
          yield { organizationId: "contoso", chunk: new TextEncoder().encode("not an export") };
        })(),
      )
      .catch((error) => error);
    assert.equal(imported.reasonName, protocol === "grpc-web" ? "PROTOCOL_UNSUPPORTED" : "EXPORT_INVALID", imported.message);
    for (const client of [writer, connector, admin]) client.close();
  });
}
