/** The messages, enums and services of the mail application: the package `sealward.mail.v1` of the contract. */

export * from "./gen/sealward/mail/v1/email_server_profile_pb.js";
export * from "./gen/sealward/mail/v1/mailbox_connection_pb.js";
export * from "./gen/sealward/mail/v1/mailbox_pb.js";
export * from "./gen/sealward/mail/v1/queue_pb.js";
export * from "./gen/sealward/mail/v1/user_settings_pb.js";
