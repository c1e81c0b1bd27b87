/** The environment variables of the command line `sealward`, for programs that ask for them. */

import { existsSync } from "node:fs";
import { join } from "node:path";

import { SetupError } from "./errors.js";
import { readText } from "./pem.js";
import type { NodeOptions } from "./node.js";

/**
 * Returns target and options from the variables of the command line: SEALWARD_ENDPOINT, SEALWARD_CA, SEALWARD_CERT, SEALWARD_KEY,
 * SEALWARD_TOKEN_FILE, and for a development server SEALWARD_DEV with SEALWARD_AS, whose files take precedence over SEALWARD_CA,
 * SEALWARD_CERT and SEALWARD_KEY. An empty variable counts as unset. No other function of this package reads the environment:
 * `const { target, options } = fromEnvironment(); const client = connect(target, options);`
 *
 * @throws {@link SetupError} if one of two variables that belong together is unset.
 */
export function fromEnvironment(environment: Readonly<Record<string, string | undefined>> = process.env): {
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
  const tokenFile = variable("SEALWARD_TOKEN_FILE");
  const target =
    variable("SEALWARD_ENDPOINT") ??
    (endpointFile && existsSync(endpointFile) ? readText("endpoint file", endpointFile).trim() : DEFAULT_TARGET);
  return {
    target,
    options: {
      ca: devFile("ca.pem") ?? variable("SEALWARD_CA"),
      identity: certificate && key ? { certificate, key } : undefined,
      token: tokenFile ? () => readText("token file", tokenFile) : undefined,
    },
  };
}

const DEFAULT_TARGET = "https://127.0.0.1:7443";
