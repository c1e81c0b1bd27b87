/** The environment variables of the command line `sealward`, for programs that ask for them. */

import { existsSync } from "node:fs";
import { join } from "node:path";

import { SetupError } from "./errors.js";
import { readText } from "./pem.js";
import type { SealwardClient } from "./client.js";
import { connect, type NodeOptions } from "./node.js";

/**
 * Returns a client by the variables of the command line: SEALWARD_ENDPOINT, SEALWARD_CA, SEALWARD_CERT, SEALWARD_KEY, SEALWARD_TOKEN_FILE, and
 * for a development server SEALWARD_DEV with SEALWARD_AS, whose files take precedence over SEALWARD_CA, SEALWARD_CERT and SEALWARD_KEY. An
 * empty variable counts as unset. No other function of this package reads the environment.
 *
 * @param options - Options of {@link connect}, which take precedence.
 * @param environment - The variables. Default: those of the process.
 * @throws {@link SetupError} if one of two variables that belong together is unset, or as `connect` does.
 */
export function connectFromEnvironment(
  options: NodeOptions = {},
  environment: Readonly<Record<string, string | undefined>> = process.env,
): SealwardClient {
  const read = readEnvironment(environment);
  return connect(read.target, { ...read.options, ...options });
}

/** The target and the options of the variables. */
export function readEnvironment(environment: Readonly<Record<string, string | undefined>>): {
  target: string;
  options: NodeOptions;
} {
  const variable = (name: string): string | undefined => environment[name] || undefined;
  const dev = variable("SEALWARD_DEV");
  const role = variable("SEALWARD_AS");
  if ((dev === undefined) !== (role === undefined)) {
    throw new SetupError("set both SEALWARD_DEV and SEALWARD_AS, or neither: the folder of `sealward-server dev`, and a role");
  }
  const devFile = (name: string): string | undefined => dev && join(dev, "tls", name);
  const endpointFile = dev && join(dev, "endpoint");

  const certificate = devFile(`${role}.pem`) ?? variable("SEALWARD_CERT");
  const key = devFile(`${role}.key`) ?? variable("SEALWARD_KEY");
  if ((certificate === undefined) !== (key === undefined)) {
    throw new SetupError("set both SEALWARD_CERT and SEALWARD_KEY, or neither");
  }
  const target =
    variable("SEALWARD_ENDPOINT") ??
    (endpointFile && existsSync(endpointFile) ? readText("endpoint file", endpointFile).trim() : DEFAULT_TARGET);
  return {
    target,
    options: {
      ca: devFile("ca.pem") ?? variable("SEALWARD_CA"),
      identity: certificate && key ? { certificate, key } : undefined,
      bearerTokenFile: variable("SEALWARD_TOKEN_FILE"),
    },
  };
}

const DEFAULT_TARGET = "https://127.0.0.1:7443";
