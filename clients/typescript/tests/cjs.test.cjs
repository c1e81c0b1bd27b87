// The package as CommonJS.

const assert = require("node:assert/strict");
const test = require("node:test");

const { connect, SealwardError, create } = require("@sealward/client");
const { MailboxSchema } = require("@sealward/client/mail/v1");
const { ErrorReason } = require("@sealward/client/v1");

test("every entry of the package can be required", async () => {
  assert.equal(typeof require("@sealward/client/web").connect, "function");
  assert.equal(require("@sealward/client/package.json").name, "@sealward/client");
  assert.equal(JSON.stringify(create(MailboxSchema, { password: "canary" })).includes("canary"), false);
  const failure = await connect("https://127.0.0.1:1", { retry: false }).access.whoAmI({}).catch((error) => error);
  assert.ok(failure instanceof SealwardError);
  assert.equal(failure.reason, ErrorReason.UNSPECIFIED);
});
