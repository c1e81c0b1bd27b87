// The program of the page in browser.test.mjs. It is bundled for the browser.

import { connect, generateKeyText, listAll, SealwardError } from "@sealward/client/web";

globalThis.run = async ({ target, protocol, token, password }) => {
  const client = connect(target, { protocol, bearerToken: token, credentials: "omit" });
  const parent = "organizations/default";
  const displayName = `in a browser over ${protocol}`;
  const { name } = await client.mailboxes.createMailbox({ parent, mailbox: { displayName, password } });
  const found = [];
  for await (const mailbox of listAll(client.mailboxes.listMailboxes, { parent, filter: `display_name = "${displayName}"`, pageSize: 1 })) {
    found.push([mailbox.name === name, mailbox.password, mailbox.isPasswordSet]);
  }
  const revealed = await client.secretAccess.revealAttributes({ name, attributes: ["password"], purpose: "a test" });
  console.log("revealed", revealed, JSON.stringify(revealed), { ...revealed });

  const failure = await client.mailboxes.createMailbox({ parent, mailbox: { displayName: "x".repeat(201), password } }).catch((error) => error);
  console.log("failure", failure, String(failure), failure.stack, JSON.stringify(failure));

  const states = [];
  for await (const { state } of await client.changeKey(parent, generateKeyText())) states.push(state);
  const streamed = await client.organizations.importOrganization((async function* () {})()).catch((error) => error);
  const unreachable = await connect("https://127.0.0.1:1", { retry: false }).access.whoAmI({}).catch((error) => error);
  return {
    found,
    isRevealed: revealed.values.password.value.value === password,
    failure: [failure instanceof SealwardError, failure.codeName, failure.reasonName, failure.fieldViolations.map(({ field }) => field), failure.callId.length],
    lastState: states.at(-1),
    streamed: [streamed.origin, streamed.codeName],
    unreachable: [unreachable.origin, unreachable.codeName],
    serverVersion: client.serverVersion,
  };
};
