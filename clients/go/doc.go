// Package sealward is the Go client of Sealward, a gRPC service that stores records with encrypted attributes.
//
//	client, err := sealward.NewClient("https://127.0.0.1:7443",
//		sealward.WithCAFile("ca.pem"),
//		sealward.WithIdentityFiles("writer.pem", "writer.key"))
//
// A [Client] has a generated client for each service. Its calls always have a deadline, are retried if that is safe, and fail with an [*Error].
// [List] and [Pages] iterate over lists. [Client.ChangeKey] changes an encryption key and reports the progress.
//
// The messages are in the packages sealward/v1 (the platform) and sealward/mail/v1 (the mail application). Package fmt, encoding/json and
// log/slog print them without secrets. Packages protojson, prototext and proto return all values.
package sealward
