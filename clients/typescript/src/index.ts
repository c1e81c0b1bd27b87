/** Client of Sealward for Node. For browsers, import `@sealward/client/web`. */

export * from "./common.js";
export { connectFromEnvironment } from "./environment.js";
export { connect, type Identity, type NodeOptions } from "./node.js";
export type { Pem } from "./pem.js";
