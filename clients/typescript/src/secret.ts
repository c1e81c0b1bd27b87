/**
 * Secrets that don't print.
 *
 * The contract marks secret fields with `debug_redact`. In a protected message, the property of such a field is an accessor that isn't
 * enumerable: `message.password` works as usual, and so do protobuf's `toBinary` and `toJson`. `console.log`, `util.inspect`,
 * `JSON.stringify`, `Object.entries`, object spread and loggers don't see it. Fields that this version of the package doesn't know could be
 * secret, so they are hidden too.
 *
 * Clients protect every message that they return. Messages that a program creates are protected if it uses the functions of this module.
 */

import {
  clone as clonePlain,
  create as createPlain,
  fromBinary as fromBinaryPlain,
  fromJson as fromJsonPlain,
  ScalarType,
  type BinaryReadOptions,
  type DescField,
  type DescMessage,
  type JsonReadOptions,
  type JsonValue,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";

/** The text of a secret field. The property isn't enumerable in protected messages. */
export type SecretText = string;

/** The bytes of a secret field. The property isn't enumerable in protected messages. */
export type SecretBytes = Uint8Array;

/** A secret outside of a message: a token, a private key, an encryption key, or a revealed value. Prints as `[secret]`. */
export class Secret {
  readonly #value: string | Uint8Array;

  /** Wraps a text, or bytes. */
  constructor(value: string | Uint8Array) {
    this.#value = value;
  }

  /** Returns the text. Throws a TypeError if the value is bytes. A search for `expose` lists every place where a secret is used. */
  exposeText(): string {
    if (typeof this.#value === "string") return this.#value;
    throw new TypeError("the secret is bytes: use exposeBytes");
  }

  /** Returns the value as bytes; a text is UTF-8. */
  exposeBytes(): Uint8Array {
    return typeof this.#value === "string" ? new TextEncoder().encode(this.#value) : this.#value;
  }

  /** Returns `[secret]`. */
  toString(): string {
    return MASK;
  }

  /** Returns `[secret]`. */
  toJSON(): string {
    return MASK;
  }

  /** Returns `[secret]`. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return MASK;
  }
}

const MASK = "[secret]";

/** Creates a message, like protobuf's `create`, and protects its secrets. */
export function create<Desc extends DescMessage>(schema: Desc, init?: MessageInitShape<Desc>): MessageShape<Desc> {
  return protect(schema, createPlain(schema, init));
}

/** Copies a message, like protobuf's `clone`, and protects the secrets of the copy. An object spread would leave the secrets out. */
export function clone<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): MessageShape<Desc> {
  return protect(schema, clonePlain(schema, message));
}

/** Parses a message, like protobuf's `fromBinary`, and protects its secrets. */
export function fromBinary<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
  options?: Partial<BinaryReadOptions>,
): MessageShape<Desc> {
  return protect(schema, fromBinaryPlain(schema, bytes, options));
}

/** Parses a message, like protobuf's `fromJson`, and protects its secrets. Its errors can quote the JSON. */
export function fromJson<Desc extends DescMessage>(
  schema: Desc,
  json: JsonValue,
  options?: Partial<JsonReadOptions>,
): MessageShape<Desc> {
  return protect(schema, fromJsonPlain(schema, json, options));
}

/** Protects the secrets of a message and of all messages in it, in place, and returns the message. */
export function protect<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): MessageShape<Desc> {
  protectMessage(schema, message as unknown as Properties);
  return message;
}

/**
 * Returns the first secret field of a message with a value that protobuf would silently change: a value of another type, such as a
 * {@link Secret}, or a text with half of a surrogate pair.
 */
export function unusableSecret(schema: DescMessage, message: object): DescField | undefined {
  const properties = message as Properties;
  const { marked, fields } = plan(schema);
  for (const field of marked) {
    for (const value of values(properties, field)) {
      const isBytes = field.scalar === ScalarType.BYTES;
      const isUsable = isBytes ? value instanceof Uint8Array : typeof value === "string" && !/\p{Surrogate}/u.test(value);
      if (value !== undefined && value !== null && !isUsable) return field;
    }
  }
  for (const { field, type } of fields) {
    for (const value of values(properties, field)) {
      const found = isProperties(value) ? unusableSecret(type, value) : undefined;
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

/** Whether a field is marked as a secret in the contract. */
export function isSecret(field: DescField): boolean {
  return field.proto.options?.debugRedact ?? false;
}

/** The properties of a message, by name. */
type Properties = Record<string, unknown>;

function protectMessage(schema: DescMessage, message: Properties): void {
  hide(message, "$unknown");
  const { secrets, oneofs, fields } = plan(schema);
  for (const name of secrets) hide(message, name, true);
  for (const name of oneofs) {
    const selected = message[name];
    if (isProperties(selected)) hide(selected, "value");
  }
  for (const { field, type } of fields) {
    for (const value of values(message, field)) {
      if (isProperties(value)) protectMessage(type, value);
    }
  }
}

/** The messages in a field. */
function values(message: Properties, field: DescField): unknown[] {
  if (field.oneof) {
    const selected = message[field.oneof.localName];
    return isProperties(selected) && selected["case"] === field.localName ? [selected["value"]] : [];
  }
  const value = message[field.localName];
  switch (field.fieldKind) {
    case "list":
      return Array.isArray(value) ? value : [];
    case "map":
      return isProperties(value) ? Object.values(value) : [];
    default:
      return [value];
  }
}

/**
 * Makes a property hidden. It stays hidden if a program assigns another value.
 *
 * @param always - Also if the property doesn't exist yet, so that a value that is assigned later is hidden.
 */
function hide(target: Properties, name: string, always = false): void {
  const property = Object.getOwnPropertyDescriptor(target, name);
  if (property === undefined ? !always : property.get !== undefined) return;
  let value: unknown = property?.value;
  Object.defineProperty(target, name, {
    configurable: true,
    enumerable: false,
    get: () => value,
    set: (assigned: unknown) => {
      value = assigned;
    },
  });
}

function isProperties(value: unknown): value is Properties {
  return typeof value === "object" && value !== null;
}

/** What to protect in messages of one type. */
interface Plan {
  /** The secret fields. */
  readonly marked: readonly DescField[];
  /** The properties of secret fields outside of oneofs. */
  readonly secrets: readonly string[];
  /** The properties of oneofs with a secret field. */
  readonly oneofs: readonly string[];
  /** The fields with messages. */
  readonly fields: readonly { readonly field: DescField; readonly type: DescMessage }[];
}

/** The plans by message type. */
const plans = new WeakMap<DescMessage, Plan>();

function plan(schema: DescMessage): Plan {
  let made = plans.get(schema);
  if (made === undefined) {
    const marked = schema.fields.filter(isSecret);
    made = {
      marked,
      secrets: marked.filter((field) => !field.oneof).map((field) => field.localName),
      oneofs: schema.oneofs.filter((oneof) => oneof.fields.some(isSecret)).map((oneof) => oneof.localName),
      fields: schema.fields.flatMap((field) => {
        const type = field.message;
        return type ? [{ field, type }] : [];
      }),
    };
    plans.set(schema, made);
  }
  return made;
}
