// Compiled only, in strict mode: what programs write, with its types.

import { connect, ErrorReason, itemError, listAll, pages, SealwardError, Secret } from "@sealward/client";
import type { NodeOptions, SealwardClient } from "@sealward/client";
import { connect as connectWeb } from "@sealward/client/web";
import { MailboxSchema, type Mailbox } from "@sealward/client/mail/v1";
import { create } from "@sealward/client";
import type { Organization, RevealAttributesResponse } from "@sealward/client/v1";

const options: NodeOptions = { ca: "ca.pem", identity: { certificate: new Uint8Array(), key: new Secret("key") } };
const client: SealwardClient = connect(["https://a", "https://b"], options);
connect("dns:///a:1", { ...options, tokenSource: async ({ forceRefresh }) => (forceRefresh ? "new" : "old") });
connectWeb("https://a", { protocol: "grpc-web", bearerToken: "token" });

export async function usage(): Promise<string | undefined> {
  const mailbox: Mailbox = await client.mailboxes.createMailbox({ parent: "organizations/a", mailbox: { password: "x" } }, { timeoutMs: 1 });
  const text: string | undefined = mailbox.password;
  const revealed: RevealAttributesResponse = await client.secretAccess.revealAttributes({ name: mailbox.name });
  const value = revealed.values["password"]?.value;
  const bytes: Uint8Array | undefined = value?.case === "data" ? value.value : undefined;
  for await (const one of listAll(client.mailboxes.listMailboxes, { parent: "organizations/a", pageSize: 1 })) {
    const record: Mailbox = one;
    void record;
  }
  for await (const one of listAll(client.organizations.listOrganizations, {})) {
    const record: Organization = one;
    void record;
  }
  for await (const page of pages(client.queues.listQueues, { parent: "organizations/a" })) void page.queues.length;
  const messages = (async function* () {
    yield { parent: "organizations/a", requests: [{ mailbox: { password: "x" } }] };
  })();
  for await (const { results } of client.mailboxes.importMailboxes(messages, { timeoutMs: 1 })) {
    for (const { result } of results) {
      const reason: string | undefined = result.case === "error" ? itemError(result.value).reasonName : result.value;
      void reason;
    }
  }
  const changed = await client.changeKey("organizations/a", new Secret("key"));
  for await (const progress of changed) void progress.cellsDone;
  try {
    await client.access.whoAmI({});
  } catch (error) {
    if (error instanceof SealwardError && error.reason === ErrorReason.IDENTITY_REQUIRED) return error.fieldViolations[0]?.reason;
  }
  // @ts-expect-error: a number isn't a text
  create(MailboxSchema, { password: 1 });
  // @ts-expect-error: certificates are always verified
  connect("https://a", { rejectUnauthorized: false });
  // @ts-expect-error: a list of mailboxes has no parent `organization`
  listAll(client.mailboxes.listMailboxes, { organization: "organizations/a" });
  return text ?? bytes?.toString();
}
