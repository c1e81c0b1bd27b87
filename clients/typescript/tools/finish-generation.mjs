// Finishes a generation: marks secret fields in the types, and embeds the retry facts.
//
// usage: node finish-generation.mjs WORK SERVICE_CONFIG
//   WORK: the folder with gen/ (output of protoc-gen-es) and image.json (descriptors of all files, as JSON)

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const [work, serviceConfig] = process.argv.slice(2);

/** The types of secret fields in the contract, and the names of these types in src/secret.ts. */
const SECRET_TYPES = { TYPE_STRING: ["string", "SecretText"], TYPE_BYTES: ["Uint8Array", "SecretBytes"] };

const NOTE = [
  "   * A secret. The property isn't enumerable in messages from a client or from this package's `create`, so that logs and JSON don't",
  "   * contain it.",
  "   *",
];

let marked = 0;
for (const file of JSON.parse(readFileSync(join(work, "image.json"), "utf8")).file) {
  const secrets = secretFields(file.messageType ?? [], file.package);
  if (secrets.length > 0) mark(join(work, "gen", file.name.replace(/\.proto$/, "_pb.ts")), secrets);
}
if (marked === 0) throw new Error("no field of the contract is marked debug_redact: the option was lost");

const config = JSON.parse(readFileSync(serviceConfig, "utf8"));
writeFileSync(
  join(work, "gen", "service_config.ts"),
  `// @generated from clients/service_config.json. Do not edit.

/** gRPC's service config: the methods that are safe to repeat, and the default retry policy. */
export const SERVICE_CONFIG = ${JSON.stringify(config, undefined, 2)} as const;
`,
);

/** Returns the fields with `debug_redact` of messages, nested messages included. */
function secretFields(messages, scope) {
  return messages.flatMap((message) => {
    const name = `${scope}.${message.name}`;
    const own = (message.field ?? []).filter((field) => field.options?.debugRedact);
    return [
      ...own.map((field) => ({ message: name, field: field.name, number: field.number, type: field.type })),
      ...secretFields(message.nestedType ?? [], name),
    ];
  });
}

/** Replaces the types of secret fields in a generated file by the types of src/secret.ts, and notes in their comments that they are secrets. */
function mark(path, secrets) {
  const lines = readFileSync(path, "utf8").split("\n");
  let message = "";
  for (let line = 0; line < lines.length; line++) {
    message = /^ \* @generated from message (\S+)$/.exec(lines[line])?.[1] ?? message;
    const field = /^ +\* @generated from field: .*?(\w+) = (\d+)[ ;]/.exec(lines[line]);
    const secret = field && secrets.find((one) => one.message === message && one.number === Number(field[2]));
    if (!secret) continue;
    const [from, to] = SECRET_TYPES[secret.type] ?? fail(`${message}.${secret.field} is a secret of type ${secret.type}`);
    // The property follows the end of the comment.
    const property = lines.findIndex((text, index) => index > line && /^ +\w+\??: /.test(text));
    const replaced = lines[property].replace(new RegExp(`: ${from}(?= \\| undefined;|;)`), `: ${to}`);
    if (replaced === lines[property]) fail(`can't mark ${message}.${secret.field} in ${path}: ${lines[property]}`);
    lines[property] = replaced;
    const indent = /^ */.exec(lines[line])[0].slice(3);
    lines.splice(line, 0, ...NOTE.map((text) => indent + text));
    line += NOTE.length;
    secret.done = true;
    marked += 1;
  }
  const missing = secrets.filter((secret) => !secret.done);
  if (missing.length > 0) fail(`not found in ${path}: ${missing.map((one) => `${one.message}.${one.field}`)}`);
  const depth = relative(dirname(path), work).split("/").length - 1;
  const names = [...new Set(secrets.map((secret) => SECRET_TYPES[secret.type][1]))].sort();
  const first = lines.findIndex((text) => text.startsWith("import "));
  lines.splice(first, 0, `import type { ${names.join(", ")} } from "${"../".repeat(depth + 1)}secret.js";`);
  writeFileSync(path, lines.join("\n"));
}

function fail(message) {
  throw new Error(message);
}
