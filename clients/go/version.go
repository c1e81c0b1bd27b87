package sealward

// Version is the version of this package. Each call sends it to the server.
const Version = "0.1.0"

// clientHeader is the metadata key of the client's language and version. The server doesn't decide anything by it.
const clientHeader = "sealward-client"

// serverHeader is the metadata key of the server's version.
const serverHeader = "sealward-server"
