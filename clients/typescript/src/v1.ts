/** The messages, enums and services of the platform: the package `sealward.v1` of the contract. */

export * from "./gen/sealward/v1/access_pb.js";
export * from "./gen/sealward/v1/audit_pb.js";
export * from "./gen/sealward/v1/data_encryption_pb.js";
export * from "./gen/sealward/v1/errors_pb.js";
export * from "./gen/sealward/v1/export_pb.js";
export * from "./gen/sealward/v1/item_status_pb.js";
export * from "./gen/sealward/v1/metadata_pb.js";
export * from "./gen/sealward/v1/organization_pb.js";
export * from "./gen/sealward/v1/secret_access_pb.js";
export * from "./gen/sealward/v1/server_pb.js";
