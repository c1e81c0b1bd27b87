// What the tests share: development servers, clients, and the descriptors of the contract. Not a test.

import { spawn } from "node:child_process";
import { generateKeyPairSync, sign } from "node:crypto";
import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after } from "node:test";

import { connectNodeAdapter } from "@connectrpc/connect-node";

import { connect } from "@sealward/client";
import * as mailV1 from "@sealward/client/mail/v1";
import * as v1 from "@sealward/client/v1";

const SERVER = process.env.SEALWARD_SERVER;
if (!SERVER) throw new Error("SEALWARD_SERVER isn't set: run clients/typescript/test");

export const ORGANIZATION = "organizations/default";

/** A module of the package that isn't exported. */
export const internal = (name) =>
  import(new URL(`../node_modules/@sealward/client/dist/esm/${name}.js`, import.meta.url).href);

/** All services of the contract. */
export const SERVICES = [...Object.values(v1), ...Object.values(mailV1)].filter((desc) => desc.kind === "service");

/** All messages of the contract. */
export const MESSAGES = [...Object.values(v1), ...Object.values(mailV1)].filter((desc) => desc.kind === "message");

/** The running servers. Those that a failed test leaves are ended. */
const started = new Set();
after(async () => {
  for (const server of started) await server.stop({ signal: "SIGKILL" });
});

/** A folder of a development server that was started once. */
let template;

/** Returns a new folder of a development server, with changed settings. */
export async function serverFolder({ settings = {}, plaintext = false, append = "" } = {}) {
  template ??= (async () => {
    const folder = mkdtempSync(join(tmpdir(), "sealward-typescript-"));
    const server = await launch(folder);
    await server.stop({ keep: true });
    process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
    return folder;
  })();
  const folder = mkdtempSync(join(tmpdir(), "sealward-typescript-"));
  cpSync(await template, folder, { recursive: true });
  const file = join(folder, "dev", "sealward.toml");
  let text = readFileSync(file, "utf8");
  const all = { ...settings, ...(plaintext ? { "listen.plaintext_address": "127.0.0.1:0" } : {}) };
  for (const [setting, value] of Object.entries(all)) {
    const name = setting.split(".").at(-1);
    const line = new RegExp(`^(# )?${name} = .*$`, "m");
    if (!line.test(text)) throw new Error(`${setting} isn't in sealward.toml`);
    text = text.replace(line, () => `${name} = ${JSON.stringify(value)}`);
  }
  writeFileSync(file, text + append);
  return folder;
}

/** Starts a development server with a folder of its own. */
export async function startServer(options = {}) {
  return launch(options.folder ?? (await serverFolder(options)), options.listen);
}

/** A gRPC server in this process, with the certificate of a development server. */
export async function grpcServer(context, server, service, implementation) {
  const grpc = createSecureServer(
    { cert: readFileSync(server.file("server.pem")), key: readFileSync(server.file("server.key")) },
    connectNodeAdapter({ routes: (router) => router.service(service, implementation) }),
  );
  const [sessions, sockets] = [new Set(), new Set()];
  grpc.on("session", (session) => sessions.add(session.on("error", () => undefined)));
  grpc.on("connection", (socket) => sockets.add(socket));
  grpc.listen(0, "127.0.0.1");
  await once(grpc, "listening");
  context.after(() => {
    for (const session of sessions) session.destroy();
    grpc.close();
  });
  return { sessions, sockets, client: (options) => connect(`https://127.0.0.1:${grpc.address().port}`, { ...server.as("writer"), ...options }) };
}

/** A method of a `grpcServer` that never answers. */
export const unanswered = () => new Promise(() => {});

/** An issuer of bearer tokens for one identity with some roles: the settings, the issuer's keys, and tokens. */
export function tokenIssuer(roles) {
  const issuer = "https://idp.example.org/";
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const identity = `jwt:${issuer}#ada`;
  const bindings = roles.map((role) => `\n[[bindings]]\nidentity = "${identity}"\nrole = "${role}"\norganizations = ["*"]\n`);
  return {
    identity,
    append: `\n[[token_issuers]]\nissuer = "${issuer}"\naudience = "sealward"\nalgorithms = ["ES256"]\njwks = "jwks.json"\n${bindings.join("")}`,
    /** Writes the issuer's keys into a server's folder. */
    writeKeys(folder) {
      const key = { ...publicKey.export({ format: "jwk" }), kid: "1", alg: "ES256", use: "sig" };
      writeFileSync(join(folder, "dev", "jwks.json"), JSON.stringify({ keys: [key] }), { mode: 0o600 });
    },
    /** A token that expires after some seconds. */
    token(lifetime) {
      const now = Math.floor(Date.now() / 1000);
      const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
      const claims = { iss: issuer, sub: "ada", aud: "sealward", iat: now - 3600, exp: now + lifetime };
      const signed = `${part({ alg: "ES256", kid: "1", typ: "JWT" })}.${part(claims)}`;
      const signature = sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" });
      return `${signed}.${signature.toString("base64url")}`;
    },
  };
}

async function launch(folder, listen = "127.0.0.1:0") {
  const dev = join(folder, "dev");
  const child = spawn(SERVER, ["dev", "--data-dir", dev, "--listen", listen], { stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  child.stderr.on("data", (chunk) => (log += chunk));
  const exited = once(child, "exit");
  let plaintextUrl;
  await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      const address = /^ +without TLS +(\S+?),/.exec(line);
      if (address) plaintextUrl = `http://${address[1]}`;
      if (line.startsWith("Press Ctrl-C")) resolve();
    });
    exited.then(() => reject(new Error(`the server ended:\n${log}`)));
  });
  const server = {
    process: child,
    folder,
    dev,
    url: readFileSync(join(dev, "endpoint"), "utf8").trim(),
    plaintextUrl,
    log: () => log,
    file: (name) => join(dev, "tls", name),
    /** The TLS options of a role. */
    as: (role) => ({
      ca: join(dev, "tls", "ca.pem"),
      identity: { certificate: join(dev, "tls", `${role}.pem`), key: join(dev, "tls", `${role}.key`) },
    }),
    client: (role, options = {}) => connect(server.url, { ...server.as(role), ...options }),
    async stop({ keep = false, signal = "SIGTERM" } = {}) {
      started.delete(server);
      child.kill(signal);
      await exited;
      if (!keep) rmSync(folder, { recursive: true, force: true });
    },
  };
  started.add(server);
  return server;
}
