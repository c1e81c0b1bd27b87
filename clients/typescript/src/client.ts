/** The client: one typed client for each service of the contract, over one transport. */

import type { DescService } from "@bufbuild/protobuf";
import type { CallOptions, Client, Transport } from "@connectrpc/connect";

import { TIMEOUT_DEFAULT_MS } from "./bounds.js";
import { callTransport } from "./calls.js";
import { Closing } from "./closing.js";
import { SetupError } from "./errors.js";
import { EmailServerProfileService } from "./gen/sealward/mail/v1/email_server_profile_pb.js";
import { MailboxConnectionService } from "./gen/sealward/mail/v1/mailbox_connection_pb.js";
import { MailboxService } from "./gen/sealward/mail/v1/mailbox_pb.js";
import { QueueService } from "./gen/sealward/mail/v1/queue_pb.js";
import { UserSettingsService } from "./gen/sealward/mail/v1/user_settings_pb.js";
import { AccessService } from "./gen/sealward/v1/access_pb.js";
import { AuditService } from "./gen/sealward/v1/audit_pb.js";
import { DataEncryptionService, type Reencryption, type SetDataEncryptionKeyResponse } from "./gen/sealward/v1/data_encryption_pb.js";
import { MetadataService } from "./gen/sealward/v1/metadata_pb.js";
import { OrganizationService } from "./gen/sealward/v1/organization_pb.js";
import { SecretAccessService } from "./gen/sealward/v1/secret_access_pb.js";
import { ServerService } from "./gen/sealward/v1/server_pb.js";
import { changeKey, restoreKey, watchReencryption, type KeyChangeProgress } from "./key-change.js";
import { RETRY_POLICY, type RetryPolicy } from "./retry.js";
import { serviceClient } from "./service-client.js";
import { Secret } from "./secret.js";
import { tokenOf, type TokenOptions } from "./token.js";

/** The options of clients in Node and in browsers. */
export interface CommonOptions extends TokenOptions {
  /**
   * The maximum time of a unary call with its retries, in milliseconds, also sent to the server as the deadline. A call can have its own:
   * `{ timeoutMs }`. Streams have no timeout, unless a call sets one. Longer timeouts than 27 hours are shortened. Default: 30000.
   */
  readonly timeoutMs?: number | undefined;
  /** Changes of the retry policy, or false for no retries. Default: that of the server's contract. */
  readonly retry?: Partial<RetryPolicy> | false | undefined;
}

/** A client of a server. The methods of its services take and return the messages of the contract. */
export class SealwardClient {
  /** Organizations: create, get, list, delete, export and import. */
  readonly organizations: Client<typeof OrganizationService>;
  /** The encryption keys of organizations. See also {@link SealwardClient.changeKey}. */
  readonly dataEncryption: Client<typeof DataEncryptionService>;
  /** Reveals and compares encrypted attributes. */
  readonly secretAccess: Client<typeof SecretAccessService>;
  /** The audit trail. */
  readonly audit: Client<typeof AuditService>;
  /** Entities and their attributes. */
  readonly metadata: Client<typeof MetadataService>;
  /** The bindings and permissions of identities. */
  readonly access: Client<typeof AccessService>;
  /** The version and the state of the server. */
  readonly server: Client<typeof ServerService>;
  /** Mailboxes. */
  readonly mailboxes: Client<typeof MailboxService>;
  /** E-mail server profiles. */
  readonly emailServerProfiles: Client<typeof EmailServerProfileService>;
  /** Queues. */
  readonly queues: Client<typeof QueueService>;
  /** User settings. */
  readonly userSettings: Client<typeof UserSettingsService>;
  /** The connections of mailboxes, for mail connectors. */
  readonly mailboxConnections: Client<typeof MailboxConnectionService>;

  readonly #transport: Transport;
  readonly #closing = new Closing();
  readonly #close: () => void;
  #serverVersion: string | undefined;

  /** Creates a client. Programs use `connect`. `attempts` makes single attempts of calls. */
  constructor(attempts: Transport, options: CommonOptions, close: () => void) {
    this.#close = close;
    this.#transport = callTransport(attempts, {
      timeoutMs: positive("timeoutMs", options.timeoutMs ?? TIMEOUT_DEFAULT_MS),
      retry: { ...RETRY_POLICY, ...(options.retry === false ? { attemptsMax: 1 } : options.retry) },
      token: tokenOf(options),
      closing: this.#closing,
      onServerVersion: (version) => {
        this.#serverVersion = version;
      },
    });
    this.organizations = serviceClient(OrganizationService, this.#transport);
    this.dataEncryption = serviceClient(DataEncryptionService, this.#transport);
    this.secretAccess = serviceClient(SecretAccessService, this.#transport);
    this.audit = serviceClient(AuditService, this.#transport);
    this.metadata = serviceClient(MetadataService, this.#transport);
    this.access = serviceClient(AccessService, this.#transport);
    this.server = serviceClient(ServerService, this.#transport);
    this.mailboxes = serviceClient(MailboxService, this.#transport);
    this.emailServerProfiles = serviceClient(EmailServerProfileService, this.#transport);
    this.queues = serviceClient(QueueService, this.#transport);
    this.userSettings = serviceClient(UserSettingsService, this.#transport);
    this.mailboxConnections = serviceClient(MailboxConnectionService, this.#transport);
  }

  /** The version of the server that answered last. Undefined before the first answer, and if the server doesn't report one. */
  get serverVersion(): string | undefined {
    return this.#serverVersion;
  }

  /** Returns a client of another service of the server, such as that of a custom schema. */
  service<Service extends DescService>(service: Service): Client<Service> {
    return serviceClient(service, this.#transport);
  }

  /**
   * Returns the values of encrypted attributes of a record, by attribute. An attribute without a value is absent. The audit trail records the
   * call and its purpose. Never repeated: each call adds an audit record.
   */
  async revealAttributes(
    name: string,
    attributes: readonly string[],
    purpose: string,
    options?: CallOptions,
  ): Promise<Readonly<Record<string, Secret>>> {
    const { values } = await this.secretAccess.revealAttributes({ name, attributes: [...attributes], purpose }, options);
    return Object.fromEntries(
      Object.entries(values).flatMap(([attribute, { value }]) => (value.case === undefined ? [] : [[attribute, new Secret(value.value)]])),
    );
  }

  /**
   * Changes the key of an organization. Store the key before this call. Iterate over the result to follow the re-encryption to its end. Never
   * repeated: if it isn't known whether the key was set, call this method again with the same key.
   */
  changeKey(organization: string, encryptionKey: string | Secret, options?: CallOptions): Promise<KeyChangeProgress> {
    return changeKey(this.dataEncryption, organization, encryptionKey, options);
  }

  /** Restores the key of an inactive organization. Never repeated: attempts count against a limit. */
  restoreKey(organization: string, encryptionKey: string | Secret, options?: CallOptions): Promise<SetDataEncryptionKeyResponse> {
    return restoreKey(this.dataEncryption, organization, encryptionKey, options);
  }

  /**
   * Follows the re-encryption of an organization, such as `organizations/contoso`, to its end. A timeout includes all openings of the
   * stream.
   */
  watchReencryption(organization: string, options?: CallOptions): AsyncGenerator<Reencryption, void, undefined> {
    return watchReencryption(this.dataEncryption, organization, options);
  }

  /**
   * Closes the client and its connections. Running and later calls fail as canceled. Connections without calls don't keep a program running.
   */
  close(): void {
    this.#closing.close();
    this.#close();
  }
}

/** Validates an option that is a number of at least 1, and at most `max`. */
export function positive(name: string, value: number, max = Number.POSITIVE_INFINITY): number {
  if (!(value >= 1)) throw new SetupError(`${name} is ${value}: use a number of at least 1`);
  if (value > max) throw new SetupError(`${name} is ${value}: use at most ${max}`);
  return value;
}

/** A target for a message, without what is in front of an `@`: a user and a password. */
export function shownTarget(target: string): string {
  return target.replace(/^([a-z][a-z\d+.-]*:\/\/)?[^]*@/i, "$1...@");
}
